// SPDX-License-Identifier: Apache-2.0

/// How instances are chosen and when a request is tried again: `load_balancing.yaml`.
///
/// Every key is looked up by itself: the service's, then the one of all services, then the default.
package struct BalancingConfig: Sendable {
    private let strategy: Scoped<BalancingPolicy.Strategy>
    private let hashHeader: Scoped<String>
    private let hashCookie: Scoped<String>
    private let sessionTimeout: Scoped<Int>
    private let sessionFailures: Scoped<Int>
    private let filters: [InstanceFilter]
    private let retryEnabled: Scoped<Bool>
    private let retryOnNext: Scoped<Int>
    private let retryOnSame: Scoped<Int>
    private let backoffKind: Scoped<Backoff.Kind>
    private let backoffMinimum: Scoped<Int>
    private let backoffMaximum: Scoped<Int>
    private let failover: Int
    private let includesNonIdempotent: Bool
    private let maxBody: Int
    private let budgetPercent: Int
    /// When an instance is left out for a while.
    package let outliers: OutlierSettings

    init(_ reader: inout ConfigReader) {
        self.strategy = reader.read(Keys.strategy)
        self.hashHeader = reader.read(Keys.hashHeader)
        self.hashCookie = reader.read(Keys.hashCookie)
        self.sessionTimeout = reader.read(Keys.sessionTimeout)
        self.sessionFailures = reader.read(Keys.sessionFailures)
        self.filters = reader.read(Keys.filters)
        self.retryEnabled = reader.read(Keys.retryEnabled)
        self.retryOnNext = reader.read(Keys.retryOnNext)
        self.retryOnSame = reader.read(Keys.retryOnSame)
        self.backoffKind = reader.read(Keys.backoffKind)
        self.backoffMinimum = reader.read(Keys.backoffMinimum)
        self.backoffMaximum = reader.read(Keys.backoffMaximum)
        self.failover = reader.read(Keys.failover)
        self.includesNonIdempotent = reader.read(Keys.nonIdempotent)
        self.maxBody = reader.read(Keys.maxBody)
        self.budgetPercent = reader.read(Keys.budget)
        var outliers = OutlierSettings()
        outliers.consecutiveErrors = reader.read(Keys.outlierErrors)
        outliers.consecutiveConnectFailures = reader.read(Keys.outlierConnects)
        outliers.baseTime = reader.read(Keys.outlierTime)
        outliers.maxEjectedPercent = reader.read(Keys.outlierShare)
        self.outliers = outliers
    }

    /// How the instance of a service is chosen.
    package func balancing(for service: String) -> BalancingPolicy {
        var policy = BalancingPolicy()
        policy.strategy = self.strategy[service, Keys.strategy]
        if let name = self.hashHeader[service] { policy.hash = .header(Array(name.lowercased().utf8)) }
        if let name = self.hashCookie[service] { policy.hash = .cookie(Array(name.utf8)) }
        policy.sessionTimeout = .seconds(self.sessionTimeout[service, Keys.sessionTimeout])
        policy.sessionFailures = self.sessionFailures[service, Keys.sessionFailures]
        policy.isZoneAware = self.filters.contains(.zoneAware)
        return policy
    }

    /// When a call of a service is tried again.
    ///
    /// What `retryEnabled` says holds. Where nobody has written it, requests that an instance failed are sent to others,
    /// which hides that it went away, and to the same one never.
    package func retry(for service: String) -> RetryPolicy {
        var policy = RetryPolicy()
        policy.includesNonIdempotent = self.includesNonIdempotent
        policy.maxBody = self.maxBody
        policy.budgetPercent = self.budgetPercent
        guard let isEnabled = self.retryEnabled[service] else {
            policy.onNext = self.failover
            policy.isFailover = true
            return policy
        }
        guard isEnabled else { return policy }
        policy.onSame = self.retryOnSame[service, Keys.retryOnSame]
        policy.onNext = self.retryOnNext[service, Keys.retryOnNext]
        policy.backoff.kind = self.backoffKind[service, Keys.backoffKind]
        policy.backoff.minimum = .milliseconds(self.backoffMinimum[service, Keys.backoffMinimum])
        policy.backoff.maximum = .milliseconds(self.backoffMaximum[service, Keys.backoffMaximum])
        return policy
    }

    /// The keys.
    package enum Keys {
        private static let prefix = "cse.loadbalance"
        static let strategy = ScopedKey(
            Self.prefix, "strategy.name", "strategyName", kind: .oneOf(BalancingPolicy.Strategy.self, "strategy"),
            default: .roundRobin,
            "How the instance of a request is chosen: `RoundRobin`, `Random`, `WeightedResponse`, `SessionStickiness`, `LeastRequest`, `PeakEWMA`, `RingHash` or `Maglev`."
        )
        static let hashHeader = ScopedKey(
            Self.prefix, "RingHash.header", kind: .text, default: "", "Header that `RingHash` and `Maglev` go by.")
        static let hashCookie = ScopedKey(
            Self.prefix, "RingHash.cookie", kind: .text, default: "", "Cookie that `RingHash` and `Maglev` go by.")
        static let sessionTimeout = ScopedKey(
            Self.prefix, "SessionStickinessRule.sessionTimeoutInSeconds", kind: .integer(1...86_400, .seconds),
            default: 30,
            "Seconds that a session of `SessionStickiness` lives after its last request.")
        static let sessionFailures = ScopedKey(
            Self.prefix, "SessionStickinessRule.successiveFailedTimes", kind: .integer(1...1000), default: 5,
            "Failures in a row that end a session.")
        static let filters = ConfigKey(
            "cse.loadbalance.serverListFilters", .several(.oneOf(InstanceFilter.self, "filter")), default: [],
            reload: .live,
            "What leaves instances out before one is chosen: `zoneaware`.")
        static let retryEnabled = ScopedKey(
            Self.prefix, "retryEnabled", kind: .bool, default: false,
            "Whether failed requests are tried again. Where nobody writes it, `mesher.retry.failover` holds.")
        static let retryOnNext = ScopedKey(
            Self.prefix, "retryOnNext", kind: .integer(0...100), default: 0, "How many other instances to try.")
        static let retryOnSame = ScopedKey(
            Self.prefix, "retryOnSame", kind: .integer(0...100), default: 0, "How often to try each of them again.")
        static let backoffKind = ScopedKey(
            Self.prefix, "backoff.kind",
            kind: .oneOf(Backoff.Kind.self, "back-off", aliases: ["jittered": .exponential]), default: .zero,
            "How waits between tries grow: `exponential` (also `jittered`), `constant` or `zero`.")
        static let backoffMinimum = ScopedKey(
            Self.prefix, "backoff.minMs", "backoff.MinMs", kind: .integer(0...3_600_000, .milliseconds), default: 0,
            "First wait, in milliseconds.")
        static let backoffMaximum = ScopedKey(
            Self.prefix, "backoff.maxMs", "backoff.MaxMs", kind: .integer(0...3_600_000, .milliseconds), default: 0,
            "Longest wait, in milliseconds.")
        static let failover = ConfigKey(
            "mesher.retry.failover", .integer(0...100), default: 2, reload: .live,
            "Other instances to try where `retryEnabled` is not written; 0 for none.")
        static let nonIdempotent = ConfigKey(
            "mesher.retry.nonIdempotent", .bool, default: false, reload: .live,
            "Whether POST, PATCH and unknown methods are repeated even when a byte of them was sent, as the original did."
        )
        static let maxBody = ConfigKey(
            "mesher.retry.maxBody", .bytes(0...(64 << 20)), default: 64 * 1024, reload: .live,
            "Largest request body that is kept for a repetition; a request with a larger one is sent once.")
        static let budget = ConfigKey(
            "mesher.retry.budgetPercent", .integer(0...1000, .percent), default: 20, reload: .live,
            "Most retries to a service, in percent of its requests of the last ten seconds; ten a second are always allowed."
        )
        static let outlierErrors = ConfigKey(
            "mesher.outlier.consecutiveErrors", .integer(0...1000), default: 5, reload: .live,
            "Failures in a row after which an instance is left out for a while; 0 for never.")
        static let outlierConnects = ConfigKey(
            "mesher.outlier.consecutiveConnectFailures", .integer(0...1000), default: 2, reload: .live,
            "Failed connects in a row after which it is; 0 for never.")
        static let outlierTime = ConfigKey(
            "mesher.outlier.baseEjectionTime", .duration(.milliseconds(10)...(.seconds(3600))), default: .seconds(10),
            reload: .live, "For how long the first time; longer each time in a row, up to 300s.")
        static let outlierShare = ConfigKey(
            "mesher.outlier.maxEjectedPercent", .integer(0...100, .percent), default: 50, reload: .live,
            "Largest share of a service's instances that is left out.")

        /// In the order of the reference.
        package static let framework: [KnownKey] =
            Self.strategy.known + Self.hashHeader.known + Self.hashCookie.known + [KnownKey(Self.filters)]
            + Self.retryEnabled.known + Self.retryOnNext.known + Self.retryOnSame.known + Self.backoffKind.known
            + Self.backoffMinimum.known + Self.backoffMaximum.known + Self.sessionTimeout.known
            + Self.sessionFailures.known
        /// The keys of this program alone.
        package static let own: [any AnyConfigKey] = [
            Self.failover, Self.nonIdempotent, Self.maxBody, Self.budget, Self.outlierErrors, Self.outlierConnects,
            Self.outlierTime, Self.outlierShare,
        ]
    }
}

/// What leaves instances out before one is chosen.
enum InstanceFilter: String, CaseIterable {
    case zoneAware = "zoneaware"
}
