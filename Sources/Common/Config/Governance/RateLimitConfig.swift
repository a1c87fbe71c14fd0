// SPDX-License-Identifier: Apache-2.0

/// Requests a second that are let through: `rate_limiting.yaml`.
package struct RateLimitConfig: Sendable {
    /// Whether limits of calls of other services apply.
    package let isConsumerEnabled: Bool
    /// Whether limits of calls of the local application apply.
    package let isProviderEnabled: Bool
    private let consumerGlobal: Int?
    private let providerGlobal: Int?
    /// By called service; a more specific key for this very caller has come first.
    private let consumer: [String: Int]
    /// By calling service.
    private let provider: [String: Int]

    /// What stands for no limit.
    package static let unlimited = 2_147_483_647

    /// - Parameter own: The name of the local service, which is the caller of other services.
    init(_ reader: inout ConfigReader, own: String) {
        self.isConsumerEnabled = reader.read(Keys.consumerEnabled)
        self.isProviderEnabled = reader.read(Keys.providerEnabled)
        self.consumerGlobal = reader.readIfPresent(Keys.consumerGlobal)
        self.providerGlobal = reader.readIfPresent(Keys.providerGlobal)
        self.provider = Self.limits(&reader, below: "cse.flowcontrol.Provider.qps.limit")
        self.consumer = Self.limits(&reader, below: "cse.flowcontrol.Consumer.qps.limit")
            .merging(Self.limits(&reader, below: "cse.flowcontrol.\(own).Consumer.qps.limit")) { $1 }
    }

    private static func limits(_ reader: inout ConfigReader, below prefix: String) -> [String: Int] {
        var limits: [String: Int] = [:]
        for (service, _) in reader.store.entries(below: prefix) {
            let key = ConfigKey("\(prefix).\(service)", Keys.rate, default: Self.unlimited, reload: .live, "")
            limits[service] = reader.readIfPresent(key)
        }
        return limits
    }

    /// The limit of calls of a service; `nil` for none.
    package func consumerLimit(for service: String) -> Int? {
        guard self.isConsumerEnabled else { return nil }
        return Self.real(self.consumer[service] ?? self.consumerGlobal)
    }

    /// The limit of calls from a service that has one of its own.
    package var providerLimits: [String: Int?] {
        self.isProviderEnabled ? self.provider.mapValues { Self.real($0) } : [:]
    }

    /// The limit that all other callers share; `nil` for none.
    package var providerSharedLimit: Int? { self.isProviderEnabled ? Self.real(self.providerGlobal) : nil }

    private static func real(_ limit: Int?) -> Int? { limit.flatMap { $0 >= Self.unlimited ? nil : $0 } }

    /// The keys.
    package enum Keys {
        fileprivate static let rate = ConfigKind<Int>.integer(0...Int.max, .requestsPerSecond)

        static let consumerEnabled = ConfigKey(
            "cse.flowcontrol.Consumer.qps.enabled", .bool, default: true, reload: .live,
            "Whether limits of calls of other services apply.")
        static let providerEnabled = ConfigKey(
            "cse.flowcontrol.Provider.qps.enabled", .bool, default: true, reload: .live,
            "Whether limits of calls of the local application apply.")
        static let consumerGlobal = ConfigKey(
            "cse.flowcontrol.Consumer.qps.global.limit", Self.rate, default: RateLimitConfig.unlimited, reload: .live,
            "Requests a second to each service that has no limit of its own.")
        static let providerGlobal = ConfigKey(
            "cse.flowcontrol.Provider.qps.global.limit", Self.rate, default: RateLimitConfig.unlimited, reload: .live,
            "Requests a second from all callers together that have no limit of their own.")
        private static let consumer = ConfigKey(
            "cse.flowcontrol[.<source>].Consumer.qps.limit.<service>", Self.rate, default: RateLimitConfig.unlimited,
            reload: .live,
            "Requests a second to a service; with a source, only where the local service has that name. 0 refuses all.")
        private static let provider = ConfigKey(
            "cse.flowcontrol.Provider.qps.limit.<source>", Self.rate, default: RateLimitConfig.unlimited, reload: .live,
            "Requests a second from a service. 0 refuses all.")

        /// In the order of the reference.
        package static let all: [any AnyConfigKey] = [
            Self.consumerEnabled, Self.providerEnabled, Self.consumer, Self.consumerGlobal, Self.provider,
            Self.providerGlobal,
        ]
    }
}
