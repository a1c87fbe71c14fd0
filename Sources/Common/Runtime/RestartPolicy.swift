// SPDX-License-Identifier: Apache-2.0

/// How soon and how often a failed component is restarted.
package struct RestartPolicy: Sendable {
    /// Delay before the first restart; doubles with each failure of the window.
    package var firstDelay: Duration
    /// The delay grows no further than this.
    package var maxDelay: Duration
    /// Failures within `window` that are forgiven; one more stops the process.
    ///
    /// `nil` never gives up.
    package var limit: Int?
    /// After this long without a failure the delay starts over.
    package var window: Duration
    /// Share of the delay, 0…1, by which it is made longer or shorter at random, so that sidecars that failed together
    /// do not come back together.
    package var jitter: Double

    /// Restarts for ever, after 100 ms at first and 10 s at most, unless told otherwise.
    package init(
        firstDelay: Duration = .milliseconds(100), maxDelay: Duration = .seconds(10), limit: Int? = nil,
        window: Duration = .seconds(60), jitter: Double = 0.2
    ) {
        self.firstDelay = firstDelay
        self.maxDelay = maxDelay
        self.limit = limit
        self.window = window
        self.jitter = jitter
    }
}

/// The back-off of one component: failures in, decisions out.
///
/// Pure, the time is a parameter.
package struct RestartBackoff {
    /// What follows a failure.
    package enum Decision: Equatable {
        /// Make a new instance after the delay.
        case restart(after: Duration)
        /// The limit is passed: stop the process.
        case giveUp
    }

    private let policy: RestartPolicy
    private var failures: [ContinuousClock.Instant] = []
    private var nextDelay: Duration

    /// No failure yet.
    package init(_ policy: RestartPolicy) {
        self.policy = policy
        self.nextDelay = policy.firstDelay
    }

    /// Counts a failure.
    ///
    /// - Parameter noise: -1…1, scales the jitter.
    package mutating func failed(at now: ContinuousClock.Instant, noise: Double) -> Decision {
        self.failures.removeAll { $0.duration(to: now) > self.policy.window }
        if self.failures.isEmpty { self.nextDelay = self.policy.firstDelay }
        self.failures.append(now)
        if let limit = self.policy.limit, self.failures.count > limit { return .giveUp }
        defer { self.nextDelay = min(self.nextDelay * 2, self.policy.maxDelay) }
        return .restart(after: self.nextDelay * (1 + self.policy.jitter * noise))
    }
}
