// SPDX-License-Identifier: Apache-2.0

/// When a circuit breaker opens, and when it lets a request through again.
///
/// - Source: `cse.circuitBreaker.*` of go-chassis.
package struct BreakerSettings: Sendable, Equatable {
    /// Whether anything of this applies.
    package var isEnabled: Bool
    /// Refuse everything; beats `isForcedClosed`.
    package var isForcedOpen: Bool
    /// Refuse nothing.
    package var isForcedClosed: Bool
    /// Fewest requests in the window to judge by.
    package var requestVolumeThreshold: Int
    /// Share of failures that opens the circuit, in percent.
    package var errorThresholdPercentage: Int
    /// From the opening, or the last trial, to the next trial.
    package var sleepWindow: Duration

    /// The original's defaults: off, 20 requests, 50 %, 15 seconds.
    package init(
        isEnabled: Bool = false, isForcedOpen: Bool = false, isForcedClosed: Bool = false,
        requestVolumeThreshold: Int = 20, errorThresholdPercentage: Int = 50, sleepWindow: Duration = .seconds(15)
    ) {
        self.isEnabled = isEnabled
        self.isForcedOpen = isForcedOpen
        self.isForcedClosed = isForcedClosed
        self.requestVolumeThreshold = requestVolumeThreshold
        self.errorThresholdPercentage = errorThresholdPercentage
        self.sleepWindow = sleepWindow
    }
}

/// What has a circuit of its own.
package enum BreakerScope: String, Sendable, CaseIterable {
    /// The API of a service, which for plain HTTP is the service.
    case api = "api"
    case service = "service"
    /// Each instance.
    case instance = "instance"
    case instanceAPI = "instance-api"

    /// Whether the circuit is of an instance, so that the handler stands behind the choice of it.
    package var isPerInstance: Bool { self == .instance || self == .instanceAPI }
}

/// What callers of a service get while requests to it are refused.
package struct FallbackPolicy: Sendable, Equatable {
    /// What stands for the answer.
    package enum Kind: String, Sendable, CaseIterable {
        /// 503 with a text that says why.
        case throwException = "throwexception"
        /// 200 with nothing.
        case returnNull = "returnnull"
    }

    /// Whether there is a fallback; without it, callers get 503 and a short text.
    package var isEnabled = true
    /// Whether every request gets it.
    package var isForced = false
    /// See ``Kind``.
    package var kind = Kind.throwException

    /// The original's defaults.
    package init() {}
}

/// Limits of calls, the breaker and the fallback of one service.
package struct ResiliencePolicy: Sendable, Equatable {
    /// The longest wait for an answer; `nil` where nothing is written.
    package var timeout: Duration?
    /// Most calls at a time.
    package var maxConcurrent = 1000
    /// See ``BreakerSettings``.
    package var breaker = BreakerSettings()
    /// See ``FallbackPolicy``.
    package var fallback = FallbackPolicy()

    /// The original's defaults.
    package init() {}
}
