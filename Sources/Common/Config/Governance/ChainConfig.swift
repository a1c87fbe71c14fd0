// SPDX-License-Identifier: Apache-2.0

/// Which handlers a request passes through, in order.
///
/// `transport`, which ends every chain, is left out: it stands for the sending itself.
package struct ChainConfig: Sendable {
    /// Of outgoing requests.
    package let outgoing: [String]
    /// Of requests to external hosts.
    package let egress: [String]
    /// Of incoming requests.
    package let incoming: [String]

    /// - Parameter scope: What has a circuit breaker of its own.
    init(_ reader: inout ConfigReader, scope: BreakerScope) {
        self.outgoing = Self.read(Keys.outgoing, .consumer, &reader) { names throws(ConfigMistake) in
            guard let balancer = names.firstIndex(of: "loadbalance") else {
                throw ConfigMistake("the chain has no loadbalance", remedy: "write loadbalance,transport at its end")
            }
            for name in ["router", "traffic-marker"] {
                if let index = names.firstIndex(of: name), index > balancer {
                    throw ConfigMistake(
                        "\(name) stands behind loadbalance, where it has no effect", remedy: "move it to the front")
                }
            }
            guard let breaker = names.firstIndex(of: "bizkeeper-consumer"), scope.isPerInstance, breaker < balancer
            else { return }
            throw ConfigMistake(
                "bizkeeper-consumer stands before loadbalance, but cse.circuitBreaker.scope is \(scope.rawValue)",
                remedy: "write loadbalance,bizkeeper-consumer, or make the scope api")
        }
        self.egress = Self.read(Keys.egress, .consumer, &reader) { names throws(ConfigMistake) in
            guard let name = names.first(where: { ["router", "loadbalance", "port-selector"].contains($0) }) else {
                return
            }
            throw ConfigMistake(
                "\(name) has no place here: external hosts have no instances", remedy: "remove it")
        }
        self.incoming = Self.read(Keys.incoming, .provider, &reader) { _ in }
    }

    private static func read(
        _ key: ConfigKey<[String]>, _ side: CallSide, _ reader: inout ConfigReader,
        check: ([String]) throws(ConfigMistake) -> Void
    ) -> [String] {
        let names = reader.read(key)
        guard let entry = reader.store.entry(key.name) else { return Array(names.dropLast()) }
        do {
            try Self.check(names, side)
            try check(names)
        } catch {
            reader.note(entry, error)
            return Array(key.fallback.dropLast())
        }
        let idle = names.filter { HandlerName.named($0)?.isActive == false }
        for name in idle {
            reader.note(
                ConfigProblem(.note, at: entry.value.location, key: entry.key, "handler [\(name)] is not active yet"))
        }
        return names.dropLast().filter { !idle.contains($0) }
    }

    private static func check(_ names: [String], _ side: CallSide) throws(ConfigMistake) {
        for (index, name) in names.enumerated() {
            if HandlerName.named(name)?.sides.contains(side) == false {
                let twin = name.hasSuffix("-consumer") || name.hasSuffix("-provider") ? name.dropLast(9) : ""
                let replacement = "\(twin)-\(side.rawValue.lowercased())"
                let hasTwin = !twin.isEmpty && HandlerName.named(replacement) != nil
                throw ConfigMistake(
                    "handler [\(name)] has no place in a \(side.rawValue) chain",
                    remedy: hasTwin ? "write \(replacement)" : "remove it")
            }
            if names[..<index].contains(name) {
                throw ConfigMistake("handler [\(name)] stands in the chain twice", remedy: "keep one of them")
            }
        }
        guard names.last == "transport" else {
            let problem =
                names.contains("transport")
                ? "handlers stand behind transport, which sends the request" : "the chain does not end in transport"
            throw ConfigMistake(problem, remedy: "make transport the last handler")
        }
    }

    /// The chain that a mistyped name, or one of the other side, was meant for; `nil` for the name of any other chain.
    static func meant(by key: String) -> String? {
        let prefix = "cse.handler.chain."
        guard key.hasPrefix(prefix), let dot = key.lastIndex(of: "."),
            dot > key.index(key.startIndex, offsetBy: prefix.count)
        else { return nil }
        let names = Keys.all.map(\.name)
        let near = Spelling.nearest(
            to: String(key[key.index(after: dot)...]), among: names.map { String($0.split(separator: ".").last ?? "") })
        return near.flatMap { near in names.first { $0.hasSuffix(".\(near)") } }
    }

    /// The keys.
    package enum Keys {
        static let outgoing = ConfigKey(
            "cse.handler.chain.Consumer.outgoing", .handlers,
            default: ["router", "ratelimiter-consumer", "bizkeeper-consumer", "loadbalance", "transport"],
            reload: .live, "Handlers of outgoing requests, in order.")
        static let egress = ConfigKey(
            "cse.handler.chain.Consumer.egress", .handlers, default: ["ratelimiter-consumer", "transport"],
            reload: .live, "Handlers of requests to external hosts.")
        static let incoming = ConfigKey(
            "cse.handler.chain.Provider.incoming", .handlers, default: ["ratelimiter-provider", "transport"],
            reload: .live, "Handlers of incoming requests.")

        /// In the order of the reference.
        package static let all: [any AnyConfigKey] = [Self.outgoing, Self.egress, Self.incoming]
    }
}
