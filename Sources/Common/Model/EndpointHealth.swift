// SPDX-License-Identifier: Apache-2.0
// request path

package import NIOCore
import Synchronization

/// Whether an endpoint is left alone for a while because requests to it failed: shared by all event loops.
///
/// Cost: asking, and counting a success of an endpoint without failures, is one load; counting a failure is one
/// compare-and-exchange.
package final class EndpointHealth: Sendable {
    /// What failed.
    package enum Failure: Sendable {
        /// No connection could be made.
        case connect
        /// The connection broke, no answer came in time, or its status counts as a failure.
        case response
    }

    /// How a try ended, for clusters that go by statuses.
    package enum Result: Sendable, Equatable {
        /// With an answer of this status; that of gRPC as what it would be in HTTP.
        case answer(Int)
        /// Without one; it counts as one of this status where these are not told apart. Where they are, a connection ends a
        /// row of those that had none.
        case silence(as: Int, isConnected: Bool = false)
    }

    /// What happened since the last success, in one word, so that it changes as a whole.
    private struct Streak {
        static let most: Int64 = 0xffff
        static let mostEjections: Int64 = 0x7fff
        /// The bits of all that is in a row.
        static let counts: Int64 = 0xffff_ffff_ffff
        var failures: Int64 = 0
        /// Of clusters that go by statuses, calls without an answer.
        var connectFailures: Int64 = 0
        /// Of these clusters only.
        var gatewayErrors: Int64 = 0
        var ejections: Int64 = 0

        init(ejections: Int64) { self.ejections = min(ejections, Self.mostEjections) }

        init(word: Int64) {
            self.failures = word & Self.most
            self.connectFailures = word >> 16 & Self.most
            self.gatewayErrors = word >> 32 & Self.most
            self.ejections = word >> 48
        }

        var word: Int64 {
            self.ejections << 48 | self.gatewayErrors << 32 | self.connectFailures << 16 | self.failures
        }

        /// Takes in how a try ended.
        ///
        /// - Returns: How many in a hundred of those that get so far are ejected; `nil` when it does not get so far.
        mutating func add(_ result: Result, _ outliers: ClusterOutliers) -> Int? {
            let status: Int
            switch result {
            case .silence(_, let isConnected) where outliers.tellsSilencesApart:
                if isConnected { self.connectFailures = 0 }
                return Self.add(1, to: &self.connectFailures, outliers.consecutiveSilences)
                    ? outliers.silencesPercent : nil
            case .silence(let code, _): status = code
            case .answer(let code):
                status = code
                self.connectFailures = 0
            }
            let isGatewayError = 502...504 ~= status
            if !isGatewayError { self.gatewayErrors = 0 }
            if status < 500 { self.failures = 0 }
            var percent: Int?
            if isGatewayError, Self.add(1, to: &self.gatewayErrors, outliers.consecutiveGatewayErrors) {
                percent = outliers.gatewayErrorsPercent
            }
            if status >= 500, Self.add(1, to: &self.failures, outliers.consecutiveErrors) {
                percent = max(percent ?? 0, outliers.errorsPercent)
            }
            return percent
        }

        /// Counts up to a limit and begins anew there.
        private static func add(_ one: Int64, to count: inout Int64, _ limit: Int) -> Bool {
            guard limit > 0 else { return false }
            count = min(count + one, Self.most)
            guard count >= min(limit, Int(Self.most)) else { return false }
            count = 0
            return true
        }

        mutating func add(_ failure: Failure) {
            self.failures = min(self.failures + 1, Self.most)
            self.connectFailures = failure == .connect ? min(self.connectFailures + 1, Self.most) : 0
        }

        func isTooLong(for settings: OutlierSettings) -> Bool {
            let (errors, connects) = (settings.consecutiveErrors, settings.consecutiveConnectFailures)
            return errors > 0 && self.failures >= min(errors, Int(Self.most))
                || connects > 0 && self.connectFailures >= min(connects, Int(Self.most))
        }
    }

    private let streak = Atomic<Int64>(0)
    /// Uptime in nanoseconds; 0 when it was never ejected.
    ///
    /// The last two numbers are what an operator has decided: an ejection without an end, so that whoever asks whether the
    /// endpoint may be chosen need not ask for it.
    private let ejectedUntil = Atomic<Int64>(0)

    private static var disabled: Int64 { .max }
    private static var draining: Int64 { .max - 1 }
    private static var longest: Int64 { .max - 2 }

    /// Without failures.
    package init() {}

    /// Whether the endpoint is to be passed over, for its failures or by an operator.
    @inline(__always)
    package func isEjected(at now: NIODeadline) -> Bool {
        self.ejectedUntil.load(ordering: .relaxed) > Int64(clamping: now.uptimeNanoseconds)
    }

    /// For how long it is ejected from `now` on; `nil` when it is not, and while an operator holds requests back.
    package func ejectionLeft(at now: NIODeadline) -> Duration? {
        let until = self.ejectedUntil.load(ordering: .relaxed)
        let left = until - Int64(clamping: now.uptimeNanoseconds)
        return left > 0 && until <= Self.longest ? .nanoseconds(left) : nil
    }

    /// Whether it was ejected, at whatever time, and no operator has done anything since.
    package var wasEjected: Bool { 1...Self.longest ~= self.ejectedUntil.load(ordering: .relaxed) }

    // MARK: Operators

    /// What an operator has decided; `nil` for nothing.
    package var order: OperatorOrder? {
        switch self.ejectedUntil.load(ordering: .relaxed) {
        case Self.disabled: .disabled
        case Self.draining: .draining
        default: nil
        }
    }

    /// Whether an operator holds new requests back: then nothing makes up for it, were there no other endpoint.
    @inline(__always)
    package var isWithheld: Bool { self.ejectedUntil.load(ordering: .relaxed) > Self.longest }

    /// Holds requests back, or no longer: then the endpoint is not ejected either.
    package func set(_ order: OperatorOrder?) {
        switch order {
        case .disabled: self.ejectedUntil.store(Self.disabled, ordering: .relaxed)
        case .draining: self.ejectedUntil.store(Self.draining, ordering: .relaxed)
        case nil: if self.isWithheld { self.ejectedUntil.store(0, ordering: .relaxed) }
        }
    }

    /// Ends an ejection, and forgets the failures and ejections before.
    ///
    /// - Returns: Whether the endpoint was ejected.
    package func endEjection(at now: NIODeadline) -> Bool {
        let until = self.ejectedUntil.load(ordering: .relaxed)
        guard until > Int64(clamping: now.uptimeNanoseconds), until <= Self.longest else { return false }
        // Who ejects it anew, or decides about it, at this moment knows better.
        guard self.ejectedUntil.compareExchange(expected: until, desired: 0, ordering: .relaxed).exchanged else {
            return false
        }
        self.streak.store(0, ordering: .relaxed)
        return true
    }

    // MARK: Outcomes

    /// Forgets the failures; unless the endpoint is ejected, when the request began before, the ejections too.
    @inline(__always)
    package func succeeded(at now: NIODeadline) {
        let word = self.streak.load(ordering: .relaxed)
        if word != 0 { self.forget(at: now) }
    }

    /// Counts a failure, and ejects the endpoint when that was one too many.
    ///
    /// Failures of an endpoint that is ejected already are not counted: its requests began before.
    ///
    /// - Parameter mayEject: Whether the cap leaves room, see ``mayEject(ejected:of:maxPercent:)``; asked only when
    ///   everything else speaks for the ejection. Two event loops that ask at the same time may go one beyond the cap.
    /// - Returns: Whether this very call ejected it.
    package func failed(
        _ failure: Failure, at now: NIODeadline, settings: OutlierSettings, mayEject: () -> Bool
    ) -> Bool {
        let until = self.ejectedUntil.load(ordering: .relaxed)
        let now = Int64(clamping: now.uptimeNanoseconds)
        guard until <= now else { return false }
        let streak = self.count(failure)
        guard streak.isTooLong(for: settings), mayEject() else { return false }
        let number = streak.ejections + 1
        let (end, overflow) = now.addingReportingOverflow(settings.time(ofEjection: number))
        // Of several loops one gets here first; the others find that `until` is no longer what they read.
        let (isMine, _) = self.ejectedUntil.compareExchange(
            expected: until, desired: overflow ? Self.longest : min(end, Self.longest), ordering: .relaxed)
        if isMine { self.streak.store(Streak(ejections: number).word, ordering: .relaxed) }
        return isMine
    }

    /// Takes in how a try ended, and ejects the endpoint when that was one failure too many.
    ///
    /// A try of an endpoint that is ejected already is not counted: it began before.
    ///
    /// - Parameter draw: A number below 100, as any other.
    /// - Parameter mayEject: See ``failed(_:at:settings:mayEject:)``.
    /// - Returns: Whether this very call ejected it.
    package func count(
        _ result: Result, at now: NIODeadline, by outliers: ClusterOutliers, draw: () -> Int, mayEject: () -> Bool
    ) -> Bool {
        let isGood = if case .answer(let status) = result { status < 500 } else { false }
        var word = self.streak.load(ordering: .relaxed)
        if isGood, word & Streak.counts == 0 { return false }
        let until = self.ejectedUntil.load(ordering: .relaxed)
        let now = Int64(clamping: now.uptimeNanoseconds)
        guard until <= now else { return false }
        var percent: Int?
        while true {
            var streak = Streak(word: word)
            percent = streak.add(result, outliers)
            let (isMine, found) = self.streak.weakCompareExchange(
                expected: word, desired: streak.word, ordering: .relaxed)
            word = isMine ? streak.word : found
            if isMine { break }
        }
        guard let percent, percent >= 100 || draw() < percent, mayEject() else { return false }
        let number = outliers.number(after: Streak(word: word).ejections, passed: until == 0 ? .max : now - until)
        let (end, overflow) = now.addingReportingOverflow(outliers.time(ofEjection: number))
        let (isMine, _) = self.ejectedUntil.compareExchange(
            expected: until, desired: overflow ? Self.longest : min(end, Self.longest), ordering: .relaxed)
        if isMine { self.streak.store(Streak(ejections: number).word, ordering: .relaxed) }
        return isMine
    }

    /// Whether one more of a service's endpoints may be ejected: within the cap, and never the last one.
    ///
    /// - Parameter ejected: How many are ejected already.
    /// - Parameter count: How many there are.
    package static func mayEject(ejected: Int, of count: Int, maxPercent: Int) -> Bool {
        guard ejected >= 0, count - ejected > 1 else { return false }
        return Double(ejected + 1) * 100 <= Double(count) * Double(maxPercent)
    }

    private func count(_ failure: Failure) -> Streak {
        var word = self.streak.load(ordering: .relaxed)
        while true {
            var streak = Streak(word: word)
            streak.add(failure)
            let (isMine, found) = self.streak.weakCompareExchange(
                expected: word, desired: streak.word, ordering: .relaxed)
            if isMine { return streak }
            word = found
        }
    }

    private func forget(at now: NIODeadline) {
        let word = self.streak.load(ordering: .relaxed)
        let left = self.isEjected(at: now) ? Streak(ejections: Streak(word: word).ejections).word : 0
        // Whoever changed it meanwhile knows better.
        _ = self.streak.compareExchange(expected: word, desired: left, ordering: .relaxed)
    }
}
