// SPDX-License-Identifier: Apache-2.0

package import FoundationEssentials

/// When a server that has failed is tried again: pure, with time and chance passed in.
///
/// The first pause is a second, each further one twice as long, half a minute at most, and each is drawn from its second
/// half, so that many clients do not come at once. They begin anew only when the server has answered and gone on serving for
/// ten seconds: one that takes connections and closes them is none that serves.
package struct Reconnect: Sendable {
    /// The lengths of all that.
    package struct Pace: Sendable {
        /// Before the first attempt after a failure, at most.
        package let first: Duration
        /// Before each further one, at most.
        package let longest: Duration
        /// How long a server has to serve before its failures are forgotten.
        package let life: Duration
        /// What a server may ask for, at most.
        package let mostAsked: Duration

        /// The pace of everything that calls a server.
        package static let usual = Pace(
            first: .seconds(1), longest: .seconds(30), life: .seconds(10), mostAsked: .seconds(300))

        /// The same with every length multiplied by `factor`: a clock that runs faster, for tests.
        package func scaled(by factor: Double) -> Pace {
            Pace(
                first: self.first * factor, longest: self.longest * factor, life: self.life * factor,
                mostAsked: self.mostAsked * factor)
        }
    }

    private let pace: Pace
    private var next: Duration
    /// Since when the server has answered; `nil` when it has not since it failed last.
    private var servingSince: ContinuousClock.Instant?
    /// Before that, the server is left alone; `nil` when it has not failed since it answered last.
    private var notBefore: ContinuousClock.Instant?
    /// Whether somebody has taken the attempt that was due.
    private var isTrying = false

    /// A server that has not failed yet.
    package init(_ pace: Pace = .usual) {
        self.pace = pace
        self.next = pace.first
    }

    /// Whether the last that was heard of the server is an answer.
    package var isServing: Bool { self.servingSince != nil }

    /// How long to leave the server alone from `now` on; zero when it may be tried.
    ///
    /// While somebody tries it, no longer than what the answer may be looked for after.
    package func pause(at now: ContinuousClock.Instant) -> Duration {
        let pause = self.notBefore.map { max(.zero, $0 - now) } ?? .zero
        return self.isTrying ? min(pause, self.pace.first) : pause
    }

    /// The server has answered a call, or has made the connection that was wanted.
    package mutating func answered(at now: ContinuousClock.Instant) {
        self.notBefore = nil
        self.isTrying = false
        if self.servingSince == nil { self.servingSince = now }
    }

    /// A call has failed, or a connection has ended.
    ///
    /// Of several that were under way at the same time, one failure counts.
    ///
    /// - Parameter retryAfter: What the server has asked for, if it has.
    /// - Parameter chance: 0…1, drawn anew for each failure.
    /// - Returns: How long to wait; ``pause(at:)`` says the same from now on.
    @discardableResult
    package mutating func failed(
        at now: ContinuousClock.Instant, retryAfter: Duration? = nil, chance: Double = .random(in: 0...1)
    ) -> Duration {
        let asked = min(retryAfter ?? .zero, self.pace.mostAsked)
        if let notBefore = self.notBefore, now < notBefore, !self.isTrying {
            self.notBefore = max(notBefore, now + asked)
            return self.pause(at: now)
        }
        if let since = self.servingSince, now - since >= self.pace.life { self.next = self.pace.first }
        self.servingSince = nil
        self.isTrying = false
        let drawn = self.next * (0.5 + 0.5 * chance)
        self.next = min(self.next * 2, self.pace.longest)
        self.notBefore = now + max(drawn, asked)
        return self.pause(at: now)
    }

    /// Takes the one attempt that is due, so that nobody else makes it too: the next one is due as if this had failed,
    /// until more is known.
    ///
    /// - Returns: Whether there was one to take; always for a server that has not failed.
    package mutating func takeTurn(at now: ContinuousClock.Instant) -> Bool {
        guard let notBefore = self.notBefore else { return true }
        guard notBefore <= now else { return false }
        self.notBefore = now + self.next
        self.isTrying = true
        return true
    }
}

extension Duration {
    /// What the field `Retry-After` of an answer asks for; `nil` for nonsense.
    ///
    /// - Parameter text: Seconds, or a date.
    /// - Source: RFC 9110 §10.2.3.
    package init?(retryAfter text: String?, at now: Date) {
        guard let text else { return nil }
        if let seconds = UInt32(text) {
            self = .seconds(seconds)
            return
        }
        guard let date = HTTPDate.seconds(text) else { return nil }
        self = .seconds(max(0, Double(date) - now.timeIntervalSince1970))
    }
}
