// SPDX-License-Identifier: Apache-2.0
// request path

package import Common
package import NIOCore

/// Refuses requests while too many of them fail, and finds out by trials when they succeed again.
///
/// Pure, without allocation: a few additions per event. The owner calls `admit` once for each request, and then, unless
/// it was refused, one of `succeeded`, `failed` and `rejected` when the outcome is known. Of a request that the client
/// gave up nothing is known: call `abandoned` when it was a trial, nothing otherwise.
///
/// - Source: go-chassis, which is Hystrix's breaker.
package struct CircuitBreaker: Sendable {
    /// When it opens, and for how long.
    package typealias Settings = BreakerSettings

    /// What to do with a request.
    package enum Admission: Sendable, Equatable {
        /// Send it.
        case admitted
        /// Send it: the circuit's state depends on its outcome.
        case trial
        /// Do not send it.
        ///
        /// After `retryAfter` the next trial is let through; `nil` when the circuit is open by configuration.
        case refused(retryAfter: Duration?)
    }

    /// What the circuit does with most requests.
    package enum State: Sendable, Equatable {
        /// Lets them through.
        case closed
        /// Refuses them.
        case open
        /// Refuses them while one tries.
        case halfOpen
    }

    /// A view for operators.
    package struct Report: Sendable, Equatable {
        /// What requests meet; a circuit that is open or closed by configuration says so.
        package let state: State
        /// Requests of the last ten seconds, with those that were refused.
        package let requests: Int
        /// Failures of the last ten seconds, and rejections by the bulkhead.
        package let errors: Int
        /// The share of errors, 0…100, rounded to the nearest; 0 when there were no requests.
        package let errorPercentage: Int
        /// How long until the next trial is let through; `nil` when none is needed or none will come.
        package let untilTrial: Duration?
    }

    /// What the outcomes made of the circuit, whatever the configuration says.
    private enum Position { case closed, open, trying }

    private let settings: Settings
    private let sleepWindow: TimeAmount
    private var window = RollingWindow()
    private var position = Position.closed
    /// From here on the next trial is let through; only meaningful when not closed.
    private var nextTrial = NIODeadline.distantFuture

    /// A closed circuit.
    package init(_ settings: Settings) {
        self.settings = settings
        self.sleepWindow = TimeAmount(settings.sleepWindow)
    }

    /// Decides about one request.
    ///
    /// A trial whose outcome nobody tells keeps others back for one sleep window only.
    package mutating func admit(at now: NIODeadline) -> Admission {
        guard self.settings.isEnabled else { return .admitted }
        if self.settings.isForcedOpen {
            self.window.add(requests: 1, at: now)
            return .refused(retryAfter: nil)
        }
        guard !self.settings.isForcedClosed else { return .admitted }
        if self.position == .closed {
            self.window.advance(to: now)
            guard self.isFailing else { return .admitted }
            self.position = .open
            self.nextTrial = now + self.sleepWindow
        } else if now >= self.nextTrial {
            self.position = .trying
            self.nextTrial = now + self.sleepWindow
            return .trial
        }
        self.window.add(requests: 1, at: now)
        return .refused(retryAfter: Duration(self.nextTrial - now))
    }

    /// Before this time ``admit(at:)`` lets every request through and changes nothing, unless an outcome is told first.
    ///
    /// In the past where requests are not simply let through. Never beyond the second of the last count: when successes
    /// are forgotten, the failures that are left may be too many.
    package var calmUntil: NIODeadline {
        if !self.settings.isEnabled { return .distantFuture }
        if self.settings.isForcedOpen { return .uptimeNanoseconds(0) }
        if self.settings.isForcedClosed { return .distantFuture }
        return self.position == .closed && !self.isFailing ? self.window.end : .uptimeNanoseconds(0)
    }

    /// Counts a request that succeeded; closes the circuit when it is not closed, and forgets all counts then.
    package mutating func succeeded(at now: NIODeadline) {
        guard self.settings.isEnabled else { return }
        guard self.position != .closed else { return self.window.add(requests: 1, at: now) }
        self.position = .closed
        self.window = RollingWindow()
    }

    /// Counts a request that failed; after a trial the circuit is open again.
    ///
    /// The next trial comes one sleep window after the last began.
    package mutating func failed(at now: NIODeadline) {
        guard self.settings.isEnabled else { return }
        self.window.add(requests: 1, marks: 1, at: now)
        if self.position == .trying { self.position = .open }
    }

    /// Counts a request that the bulkhead rejected: an error like any other.
    package mutating func rejected(at now: NIODeadline) { self.failed(at: now) }

    /// Takes back a trial whose client went away: the next request is a trial.
    package mutating func abandoned(at now: NIODeadline) {
        guard self.position == .trying else { return }
        self.position = .open
        self.nextTrial = now
    }

    /// Whether the outcomes so far speak against no request; what the configuration says is another matter.
    var isClosed: Bool { self.position == .closed }

    /// What an operator may want to see at `now`.
    package func report(at now: NIODeadline) -> Report {
        var window = self.window
        window.advance(to: now)
        let isForced = self.settings.isForcedOpen || self.settings.isForcedClosed
        let state: State =
            switch self.position {
            case _ where !self.settings.isEnabled: .closed
            case _ where isForced: self.settings.isForcedOpen ? .open : .closed
            case .closed: .closed
            case .open: .open
            case .trying: .halfOpen
            }
        return Report(
            state: state, requests: window.requests, errors: window.marks,
            errorPercentage: Self.percentage(of: window),
            untilTrial: state == .closed || isForced ? nil : max(.zero, Duration(self.nextTrial - now)))
    }

    private var isFailing: Bool {
        self.window.requests > 0 && self.window.requests >= self.settings.requestVolumeThreshold
            && Self.percentage(of: self.window) >= self.settings.errorThresholdPercentage
    }

    private static func percentage(of window: RollingWindow) -> Int {
        guard window.requests > 0 else { return 0 }
        return (window.marks &* 100 &+ window.requests / 2) / window.requests
    }
}
