// SPDX-License-Identifier: Apache-2.0

/// The handlers that a chain may name: `cse.handler.chain.*`.
package enum HandlerNames {
    /// All of them, whether they are of this version or of a later one.
    package static let all = [
        "router", "loadbalance", "loadbalancer", "transport", "ratelimiter-consumer", "ratelimiter-provider",
        "bizkeeper-consumer", "bizkeeper-provider", "tracing-consumer", "tracing-provider", "skywalking-consumer",
        "skywalking-provider", "fault-inject", "port-selector", "traffic-marker", "rate-limiter", "monitoring",
        "access-log", "basicAuth", "jwt", "oauth2",
    ]
}

extension ConfigKind<[String]> {
    /// Names with commas between them.
    package static var texts: Self {
        Self("list", isList: true, describe: { $0.joined(separator: ",") }) { text throws(ConfigMistake) in
            text.split(separator: ",").map { $0.filter { !$0.isWhitespace } }
        }
    }

    /// Names of handlers with commas between them.
    package static var handlers: Self {
        Self("list of handlers", isList: true, describe: { $0.joined(separator: ",") }) { text throws(ConfigMistake) in
            let names = try Self.texts.parse(text)
            for name in names where !HandlerNames.all.contains(name) {
                let near = Spelling.nearest(to: name, among: HandlerNames.all).map { "write \($0)" }
                throw ConfigMistake(
                    "unknown handler [\(name)]",
                    remedy: near ?? "write handlers such as \(HandlerNames.all.prefix(4).joined(separator: ", "))")
            }
            return names
        }
    }
}

extension ConfigKind<Int> {
    /// Any whole number.
    package static var number: Self { .integer(Int.min...Int.max) }
}
