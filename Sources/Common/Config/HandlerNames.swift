// SPDX-License-Identifier: Apache-2.0

/// A handler that chains may name.
package struct HandlerName: Sendable {
    /// As chains write it.
    package let name: String
    /// The sides of calls that it can stand on.
    package let sides: Set<CallSide>
    /// Whether it takes effect in this version.
    package let isActive: Bool

    /// A handler.
    package init(_ name: String, _ sides: Set<CallSide>, isActive: Bool = true) {
        self.name = name
        self.sides = sides
        self.isActive = isActive
    }

    /// All of them; whoever adds one adds a line here and one in the table of stages.
    package static let all: [HandlerName] = [
        HandlerName("router", [.consumer]),
        HandlerName("loadbalance", [.consumer]),
        HandlerName("transport", [.consumer, .provider]),
        HandlerName("ratelimiter-consumer", [.consumer]),
        HandlerName("ratelimiter-provider", [.provider]),
        HandlerName("bizkeeper-consumer", [.consumer]),
        HandlerName("bizkeeper-provider", [.provider]),
        HandlerName("fault-inject", [.consumer]),
        HandlerName("traffic-marker", [.consumer, .provider]),
        HandlerName("rate-limiter", [.consumer, .provider]),
        HandlerName("port-selector", [.consumer]),
        HandlerName("tracing-consumer", [.consumer]),
        HandlerName("tracing-provider", [.provider]),
        HandlerName("skywalking-consumer", [.consumer], isActive: false),
        HandlerName("skywalking-provider", [.provider], isActive: false),
        HandlerName("monitoring", [.consumer, .provider]),
        HandlerName("access-log", [.consumer, .provider]),
        HandlerName("basicAuth", [.provider], isActive: false),
        HandlerName("jwt", [.provider], isActive: false),
        HandlerName("oauth2", [.provider], isActive: false),
    ]

    /// The handler of this name; `loadbalancer` is how the original's `loadbalance` calls itself.
    package static func named(_ name: String) -> HandlerName? {
        Self.all.first { $0.name == (name == "loadbalancer" ? "loadbalance" : name) }
    }
}

extension ConfigKind<[String]> {
    /// Names with commas between them.
    package static var texts: Self {
        Self("list", isList: true, shape: .texts(.text), describe: { $0.joined(separator: ",") }) {
            text throws(ConfigMistake) in
            text.split(separator: ",").map { $0.filter { !$0.isWhitespace } }
        }
    }

    /// Names of handlers with commas between them, as the handlers call themselves.
    package static var handlers: Self {
        let shape = Shape.texts(.choice(HandlerName.all.map(\.name) + ["loadbalancer"], anyCase: false))
        return Self("list of handlers", isList: true, shape: shape, describe: { $0.joined(separator: ",") }) {
            text throws(ConfigMistake) in
            for part in text.split(separator: ",") where part.split(whereSeparator: \.isWhitespace).count > 1 {
                throw ConfigMistake(
                    "\"\(part.split(whereSeparator: \.isWhitespace).joined(separator: " "))\" is no handler",
                    remedy: "write commas between handlers")
            }
            var names: [String] = []
            for name in try Self.texts.parse(text) where !name.isEmpty {
                guard let handler = HandlerName.named(name) else {
                    let all = HandlerName.all.map(\.name)
                    let near = Spelling.nearest(to: name, among: all).map { "write \($0)" }
                    throw ConfigMistake(
                        "unknown handler [\(name)]",
                        remedy: near ?? "write handlers such as \(all.prefix(4).joined(separator: ", "))")
                }
                names.append(handler.name)
            }
            return names
        }
    }
}
