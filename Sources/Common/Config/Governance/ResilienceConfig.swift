// SPDX-License-Identifier: Apache-2.0

/// Time limits, circuit breakers, bulkheads and fallbacks: `circuit_breaker.yaml`.
///
/// Every key is looked up by itself: the service's, then the side's, then the default. A number of 0 counts as not
/// written, as in the original.
package struct ResilienceConfig: Sendable {
    /// What has a circuit of its own.
    package let scope: BreakerScope
    private let sides: [CallSide: Side]

    private struct Side: Sendable {
        let timeout: Scoped<Int>
        let maxConcurrent: Scoped<Int>
        let isEnabled: Scoped<Bool>
        let isForcedOpen: Scoped<Bool>
        let isForcedClosed: Scoped<Bool>
        let sleepWindow: Scoped<Int>
        let requestVolume: Scoped<Int>
        let errorPercentage: Scoped<Int>
        let fallbackEnabled: Scoped<Bool>
        let fallbackForced: Scoped<Bool>
        let fallbackPolicy: Scoped<FallbackPolicy.Kind>

        init(_ reader: inout ConfigReader, _ side: CallSide) {
            self.timeout = reader.read(Keys.timeout, side: side)
            self.maxConcurrent = reader.read(Keys.maxConcurrent, side: side)
            self.isEnabled = reader.read(Keys.enabled, side: side)
            self.isForcedOpen = reader.read(Keys.forceOpen, side: side)
            self.isForcedClosed = reader.read(Keys.forceClosed, side: side)
            self.sleepWindow = reader.read(Keys.sleepWindow, side: side)
            self.requestVolume = reader.read(Keys.requestVolume, side: side)
            self.errorPercentage = reader.read(Keys.errorPercentage, side: side)
            self.fallbackEnabled = reader.read(Keys.fallbackEnabled, side: side)
            self.fallbackForced = reader.read(Keys.fallbackForced, side: side)
            self.fallbackPolicy = reader.read(Keys.fallbackPolicy, side: side)
        }
    }

    init(_ reader: inout ConfigReader) {
        self.scope = reader.read(Keys.scope)
        var sides: [CallSide: Side] = [:]
        for side in CallSide.allCases { sides[side] = Side(&reader, side) }
        self.sides = sides
    }

    /// What holds for calls of a service, or for those of the local one.
    package func policy(for service: String, _ side: CallSide = .consumer) -> ResiliencePolicy {
        var policy = ResiliencePolicy()
        guard let values = self.sides[side] else { return policy }
        func number(_ scoped: Scoped<Int>) -> Int? { scoped[service].flatMap { $0 > 0 ? $0 : nil } }
        policy.timeout = number(values.timeout).map { .milliseconds($0) }
        policy.maxConcurrent = min(
            number(values.maxConcurrent) ?? Keys.maxConcurrent.fallback, Self.mostConcurrent)
        policy.breaker.isEnabled = values.isEnabled[service, Keys.enabled]
        policy.breaker.isForcedOpen = values.isForcedOpen[service, Keys.forceOpen]
        policy.breaker.isForcedClosed = values.isForcedClosed[service, Keys.forceClosed]
        policy.breaker.sleepWindow = .milliseconds(number(values.sleepWindow) ?? Keys.sleepWindow.fallback)
        policy.breaker.requestVolumeThreshold =
            number(values.requestVolume) ?? Keys.requestVolume.fallback
        policy.breaker.errorThresholdPercentage =
            number(values.errorPercentage) ?? Keys.errorPercentage.fallback
        policy.fallback.isEnabled = values.fallbackEnabled[service, Keys.fallbackEnabled]
        policy.fallback.isForced = values.fallbackForced[service, Keys.fallbackForced]
        policy.fallback.kind = values.fallbackPolicy[service, Keys.fallbackPolicy]
        return policy
    }

    /// More calls at a time are never allowed.
    static let mostConcurrent = 5000

    /// The keys.
    package enum Keys {
        static let timeout = ScopedKey(
            "cse.isolation", hasSide: true, "timeoutInMilliseconds", kind: .integer(0...86_400_000, .milliseconds),
            default: 0,
            "Longest wait for the answer to a call, in milliseconds. 0: `mesher.timeouts.firstByte`. Calls of the local application obey the `Consumer` key of its own name."
        )
        static let maxConcurrent = ScopedKey(
            "cse.isolation", hasSide: true, "maxConcurrentRequests", kind: .integer(0...1_000_000), default: 1000,
            "Most calls at a time; 5000 at most.")
        static let scope = ConfigKey(
            "cse.circuitBreaker.scope", .oneOf(BreakerScope.self, "scope"), default: .api, reload: .live,
            "What has a circuit of its own: `api`, `service`, `instance` or `instance-api`. Those of instances need `bizkeeper-consumer` behind `loadbalance`."
        )
        static let enabled = ScopedKey(
            "cse.circuitBreaker", hasSide: true, "enabled", kind: .bool, default: false, "Whether the breaker works.")
        static let forceOpen = ScopedKey(
            "cse.circuitBreaker", hasSide: true, "forceOpen", kind: .bool, default: false,
            "Refuse everything; only where the breaker is enabled.")
        static let forceClosed = ScopedKey(
            "cse.circuitBreaker", hasSide: true, "forceClosed", kind: .bool, default: false, "Refuse nothing.")
        static let sleepWindow = ScopedKey(
            "cse.circuitBreaker", hasSide: true, "sleepWindowInMilliseconds",
            kind: .integer(0...86_400_000, .milliseconds),
            default: 15_000, "From open to the first trial, in milliseconds.")
        static let requestVolume = ScopedKey(
            "cse.circuitBreaker", hasSide: true, "requestVolumeThreshold", kind: .integer(0...1_000_000), default: 20,
            "Fewest requests within ten seconds to judge by.")
        static let errorPercentage = ScopedKey(
            "cse.circuitBreaker", hasSide: true, "errorThresholdPercentage", kind: .integer(0...100, .percent),
            default: 50,
            "Share of failures that opens the circuit.")
        static let fallbackEnabled = ScopedKey(
            "cse.fallback", hasSide: true, "enabled", kind: .bool, default: true,
            "Whether the fallback policy decides what refused callers get.")
        static let fallbackForced = ScopedKey(
            "cse.fallback", hasSide: true, "force", kind: .bool, default: false, "Whether every call falls back.")
        static let fallbackPolicy = ScopedKey(
            "cse.fallbackpolicy", hasSide: true, "policy", kind: .oneOf(FallbackPolicy.Kind.self, "fallback policy"),
            default: .throwException,
            "What refused callers get: `throwexception` is 503 with the reason, `returnnull` is 200 with nothing.")

        /// In the order of the reference.
        package static let all: [KnownKey] =
            Self.timeout.known + Self.maxConcurrent.known + [KnownKey(Self.scope)] + Self.enabled.known
            + Self.forceOpen.known + Self.forceClosed.known + Self.sleepWindow.known + Self.requestVolume.known
            + Self.errorPercentage.known + Self.fallbackEnabled.known + Self.fallbackForced.known
            + Self.fallbackPolicy.known
    }
}
