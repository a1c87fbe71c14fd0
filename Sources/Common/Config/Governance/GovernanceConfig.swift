// SPDX-License-Identifier: Apache-2.0

/// Everything that steers traffic and may change while the process runs.
package struct GovernanceConfig: Sendable {
    /// Which handlers there are.
    package let chains: ChainConfig
    /// How instances are chosen, and when requests are repeated.
    package let balancing: BalancingConfig
    /// Time limits, breakers, bulkheads and fallbacks.
    package let resilience: ResilienceConfig
    /// Requests a second.
    package let rateLimits: RateLimitConfig
    /// Statuses of answers that count as failures.
    package let failureStatuses: Set<Int>
    /// Where the local instance runs.
    package internal(set) var region: RegionConfig

    init(_ reader: inout ConfigReader, identity: ServiceIdentity) {
        self.resilience = ResilienceConfig(&reader)
        self.chains = ChainConfig(&reader, scope: self.resilience.scope)
        self.balancing = BalancingConfig(&reader)
        self.rateLimits = RateLimitConfig(&reader, own: identity.name)
        self.failureStatuses = reader.read(Keys.failure)
        self.region = RegionConfig(&reader)
    }

    /// The keys that belong to no part.
    package enum Keys {
        static let failure = ConfigKey(
            "cse.transport.failure.rest", .failureStatuses, default: [], reload: .live,
            "Statuses of answers that count as failures, for retries and breakers: `http_500,http_502`.")
    }
}

extension ConfigKind<Set<Int>> {
    fileprivate static var failureStatuses: Self {
        Self(
            "list of `http_<status>`", isList: true, shape: .texts(.matching("http_[+]?0*[1-5][0-9][0-9]")),
            describe: { $0.sorted().map { "http_\($0)" }.joined(separator: ",") }
        ) { text throws(ConfigMistake) in
            var statuses: Set<Int> = []
            for name in try ConfigKind<[String]>.texts.parse(text) where !name.isEmpty {
                guard name.hasPrefix("http_"), let status = Int(name.dropFirst(5)), (100...599).contains(status) else {
                    throw ConfigMistake("\"\(name)\" is no status", remedy: "write statuses such as http_502")
                }
                statuses.insert(status)
            }
            return statuses
        }
    }
}
