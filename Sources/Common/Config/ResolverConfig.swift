// SPDX-License-Identifier: Apache-2.0

/// What finds the service that a request names: `plugin.destinationResolver` of `mesher.yaml`, by protocol, and whether
/// `Host` may stand for a URL.
package struct ResolverConfig: Sendable, Equatable {
    /// The resolver of HTTP requests.
    package var http: String
    /// The resolver of gRPC requests.
    package var grpc: String
    /// Whether a request that was sent as to a server is for whom its `Host` names.
    package var readsHost: Bool

    /// The resolvers that there are.
    ///
    /// A resolver of one's own is added here and in `Egress/Resolvers`.
    package static let known = ["host", "authority", "ip"]

    /// The default for every protocol.
    package init() {
        self.http = "host"
        self.grpc = "host"
        self.readsHost = false
    }

    /// Reads the resolvers; an empty name stands for the default.
    package init(_ reader: inout ConfigReader) {
        self.http = reader.read(Keys.http)
        self.grpc = reader.read(Keys.grpc)
        self.readsHost = reader.read(Keys.readsHost)
    }

    /// The keys of ``ResolverConfig``.
    package enum Keys {
        static let http = ConfigKey(
            "plugin.destinationResolver.http", .resolver, default: "host",
            "What finds the service that an HTTP request names.")
        static let grpc = ConfigKey(
            "plugin.destinationResolver.grpc", .resolver, default: "host",
            "What finds the service that a gRPC request names.")
        static let readsHost = ConfigKey(
            "mesher.egress.routeByHost", .bool, default: false, reload: .live,
            "Whether a request that was not sent as to a proxy is for the service or host that its `Host` names; otherwise it is answered 400."
        )

        /// All of them, in the order of the reference.
        package static let all: [any AnyConfigKey] = [Self.http, Self.grpc, Self.readsHost]
    }
}

extension ConfigKind<String> {
    fileprivate static var resolver: Self {
        let shape = Shape.either([.choice(ResolverConfig.known, anyCase: false), .matching("")])
        return Self("`host`, `authority` or `ip`", shape: shape, describe: { $0 }) { text throws(ConfigMistake) in
            if text.isEmpty { return "host" }
            guard ResolverConfig.known.contains(text) else {
                throw ConfigMistake(
                    "unknown destination resolver [\(text)]",
                    remedy: "write one of: \(ResolverConfig.known.joined(separator: ", "))")
            }
            return text
        }
    }
}
