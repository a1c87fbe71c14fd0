// SPDX-License-Identifier: Apache-2.0

package import Common

/// What governs incoming requests; shared by all event loops.
package final class ProviderPolicy: Sendable {
    /// The breaker and the bulkhead of the local application.
    package let circuit: Circuit
    /// Time limit, bulkhead and breaker as configured.
    package let resilience: ResiliencePolicy
    /// The longest wait for the local application; `nil` where nothing is written.
    package let timeout: Duration?
    /// Where the local application listens; the same objects as long as its ports do not change, so that connections to it
    /// are used on.
    package let application: ApplicationEndpoints
    /// Marks and their limits.
    package let marks: Marks
    private let limits: [String: Int?]
    private let limiters: [String: RateLimiter]
    private let sharedLimit: Int?
    private let shared: RateLimiter?

    /// - Parameter old: What held until now; what has not changed keeps its state.
    package init(_ config: MesherConfig, upon old: ProviderPolicy? = nil) {
        let (name, governance) = (config.identity.name, config.governance)
        let resilience = governance.resilience.policy(for: name, .provider)
        self.resilience = resilience
        let ports = config.servicePorts
        self.application =
            old.flatMap { $0.application.ports == ports ? $0.application : nil } ?? ApplicationEndpoints(ports)
        // The original's: calls of the local application obey the consumer's key.
        self.timeout = governance.resilience.policy(for: name, .consumer).timeout
        if let old, old.resilience.breaker == resilience.breaker {
            self.circuit = old.circuit
            self.circuit.limit(to: resilience.maxConcurrent)
        } else {
            self.circuit = Circuit(settings: resilience.breaker, limit: resilience.maxConcurrent)
        }
        self.marks = Marks(config.rules, upon: old?.marks)
        let limits = governance.rateLimits.providerLimits
        self.limits = limits
        var limiters: [String: RateLimiter] = [:]
        for (source, limit) in limits {
            guard let limit else { continue }
            let known = old?.limits[source] == .some(.some(limit)) ? old?.limiters[source] : nil
            limiters[source] = known ?? RateLimiter(rate: limit)
        }
        self.limiters = limiters
        self.sharedLimit = governance.rateLimits.providerSharedLimit
        self.shared =
            old != nil && old?.sharedLimit == self.sharedLimit
            ? old?.shared : self.sharedLimit.map { RateLimiter(rate: $0) }
    }

    /// Whether it matters who calls.
    package var hasLimits: Bool { !self.limits.isEmpty || self.shared != nil }

    /// What limits requests of a caller; callers without a limit of their own share one.
    package func limiter(for source: String) -> RateLimiter? {
        if let own = self.limits[source] { return own == nil ? nil : self.limiters[source] }
        return self.shared
    }
}
