// SPDX-License-Identifier: Apache-2.0
// request path

import Common
package import NIOCore
import Synchronization

/// What the event loops share of one circuit: its breaker, and the tickets of its bulkhead.
///
/// While the breaker is not enabled, no lock is taken; a ticket is one compare-and-exchange. While it is and the circuit is
/// calm, a request takes the lock once, with its outcome.
///
/// - Source: go-chassis: the breaker first, then a ticket, which is needed even with the breaker disabled.
package final class Circuit: Sendable {
    /// A bulkhead is never larger.
    ///
    /// - Source: go-chassis
    package static let mostTickets = 5_000

    /// How the breaker was made.
    package let settings: CircuitBreaker.Settings
    private let most: Atomic<Int>
    private let breaker: Mutex<CircuitBreaker>
    /// ``CircuitBreaker/calmUntil``, in nanoseconds of uptime; written under the lock.
    private let calmUntil = Atomic<UInt64>(0)
    private let taken = Atomic<Int>(0)
    /// What nobody has asked for yet; see ``takeChange()``.
    private let change = Atomic<UInt8>(0)

    /// What the outcomes have made of it.
    package enum Change: UInt8, Sendable {
        /// It was closed before: so many calls fail that further ones are refused.
        case opened = 1
        /// It was not: a trial has succeeded.
        case closed
    }

    /// A closed circuit without requests; changed settings need a new one, another limit does not.
    ///
    /// - Parameter limit: Requests at a time; cut to ``mostTickets``, and none when it is not positive.
    package init(settings: CircuitBreaker.Settings, limit: Int) {
        self.settings = settings
        self.most = Atomic(min(limit, Self.mostTickets))
        self.breaker = Mutex(CircuitBreaker(settings))
    }

    /// See ``CircuitBreaker/admit(at:)``.
    package func admit(at now: NIODeadline) -> CircuitBreaker.Admission {
        guard self.settings.isEnabled else { return .admitted }
        if now.uptimeNanoseconds < self.calmUntil.load(ordering: .relaxed) { return .admitted }
        return self.update { $0.admit(at: now) }
    }

    /// See ``CircuitBreaker/succeeded(at:)``.
    package func succeeded(at now: NIODeadline) {
        guard self.settings.isEnabled else { return }
        self.update { $0.succeeded(at: now) }
    }

    /// See ``CircuitBreaker/failed(at:)``.
    package func failed(at now: NIODeadline) {
        guard self.settings.isEnabled else { return }
        self.update { $0.failed(at: now) }
    }

    /// See ``CircuitBreaker/rejected(at:)``.
    package func rejected(at now: NIODeadline) {
        guard self.settings.isEnabled else { return }
        self.update { $0.rejected(at: now) }
    }

    /// See ``CircuitBreaker/abandoned(at:)``.
    package func abandoned(at now: NIODeadline) {
        guard self.settings.isEnabled else { return }
        self.update { $0.abandoned(at: now) }
    }

    /// Under the lock, after which it is known anew how long nobody need ask.
    private func update<Result>(_ body: (inout CircuitBreaker) -> Result) -> Result {
        self.breaker.withLock { breaker in
            let wasClosed = breaker.isClosed
            let result = body(&breaker)
            if breaker.isClosed != wasClosed {
                self.change.store((wasClosed ? Change.opened : .closed).rawValue, ordering: .relaxed)
            }
            self.calmUntil.store(breaker.calmUntil.uptimeNanoseconds, ordering: .relaxed)
            return result
        }
    }

    /// Closes the circuit and forgets all counts, whatever calls have come to.
    ///
    /// What is under way is counted anew.
    ///
    /// - Returns: What it was before.
    package func reset(at now: NIODeadline) -> CircuitBreaker.State {
        self.breaker.withLock { breaker in
            let state = breaker.report(at: now).state
            breaker = CircuitBreaker(self.settings)
            self.calmUntil.store(breaker.calmUntil.uptimeNanoseconds, ordering: .relaxed)
            // Whoever has done this says so.
            self.change.store(0, ordering: .relaxed)
            return state
        }
    }

    /// Whether the circuit has opened or closed since somebody asked last; one of those who ask at a time gets it.
    package func takeChange() -> Change? {
        guard self.settings.isEnabled, self.change.load(ordering: .relaxed) != 0 else { return nil }
        return Change(rawValue: self.change.exchange(0, ordering: .relaxed))
    }

    /// See ``CircuitBreaker/report(at:)``.
    package func report(at now: NIODeadline) -> CircuitBreaker.Report {
        self.breaker.withLock { $0 }.report(at: now)
    }

    /// How many requests may be under way at a time.
    package var limit: Int { self.most.load(ordering: .relaxed) }

    /// Lets as many requests be under way from now on; those that are count.
    package func limit(to limit: Int) { self.most.store(min(limit, Self.mostTickets), ordering: .relaxed) }

    /// How many requests are under way.
    package var inFlight: Int { self.taken.load(ordering: .relaxed) }

    /// Takes a ticket for one request, to be given back exactly once.
    ///
    /// - Returns: `false` when none is left: the request is rejected, nobody queues.
    package func take() -> Bool {
        var taken = self.taken.load(ordering: .relaxed)
        while taken < self.limit {
            let (isMine, found) = self.taken.weakCompareExchange(
                expected: taken, desired: taken &+ 1, ordering: .relaxed)
            if isMine { return true }
            taken = found
        }
        return false
    }

    /// Gives a ticket back.
    package func giveBack() { self.taken.wrappingSubtract(1, ordering: .relaxed) }
}
