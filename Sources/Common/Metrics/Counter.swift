// SPDX-License-Identifier: Apache-2.0
// request path

import Synchronization

/// A number that only grows, written by one thread at a time and read by any.
///
/// Each event loop has counters of its own, which are added up when they are read: so counting is a load and a store,
/// without a locked instruction.
package final class Counter: Sendable {
    private let value = Atomic<Int>(0)

    /// Zero.
    package init() {}

    /// Counts `amount` more.
    ///
    /// For the one thread that owns this counter.
    @inline(__always)
    package func add(_ amount: Int = 1) {
        self.value.store(self.value.load(ordering: .relaxed) &+ amount, ordering: .relaxed)
    }

    /// Counts `amount` more, from any thread.
    package func addShared(_ amount: Int = 1) { self.value.wrappingAdd(amount, ordering: .relaxed) }

    /// The number so far.
    package var current: Int { self.value.load(ordering: .relaxed) }
}

/// The requests to one service that one event loop has answered, in the original's families.
///
/// - Source: the metric families `requests_total`, `successes_total`, `failures_total`, `status_4xx`, `status_5xx` and
///   `request_latency_seconds` of the original.
package final class RequestCounters: Sendable {
    /// All requests that were answered.
    package let requests = Counter()
    /// Status 200–226.
    package let successes = Counter()
    /// Status 400–451 or 500–511.
    package let failures = Counter()
    /// Status 400–451.
    package let status4xx = Counter()
    /// Status 500–511.
    package let status5xx = Counter()
    /// Nanoseconds that the timed requests took, from the complete head to the last byte of the answer.
    package let latency = Counter()
    /// How many were timed: the outgoing ones.
    package let timed = Counter()
    /// How long all of them took.
    package let histogram = LatencyHistogram()
    /// Answers of mesher in place of a call that it refused: status 200, without a body.
    package let fallbacks = Counter()
    private let reasons = InlineArray<32, Atomic<Int>> { _ in Atomic(0) }
    private let retired = Atomic(false)

    /// Whether nobody reads them any more, so that others are to be asked for.
    package var isRetired: Bool { self.retired.load(ordering: .relaxed) }

    func retire() { self.retired.store(true, ordering: .relaxed) }

    /// All zero.
    package init() {}

    /// Counts a request that mesher answered or ended itself.
    package func record(_ reason: ProxyError.Reason) {
        let index = Int(reason.number)
        let count = self.reasons[index].load(ordering: .relaxed)
        self.reasons[index].store(count &+ 1, ordering: .relaxed)
    }

    /// How often mesher answered or ended a request for this reason.
    package func count(of reason: ProxyError.Reason) -> Int {
        self.reasons[Int(reason.number)].load(ordering: .relaxed)
    }

    /// Counts one answered request.
    ///
    /// - Parameter status: The HTTP status of the answer.
    /// - Parameter nanoseconds: How long the whole call took.
    /// - Parameter isTimed: Whether the original's family of latencies has it.
    package func record(status: Int, nanoseconds: Int, isTimed: Bool) {
        self.requests.add()
        self.histogram.record(nanoseconds)
        if isTimed {
            self.latency.add(nanoseconds)
            self.timed.add()
        }
        switch status {
        // A protocol that was switched as asked is a success.
        case 101, 200...226: self.successes.add()
        case 400...451:
            self.failures.add()
            self.status4xx.add()
        case 500...511:
            self.failures.add()
            self.status5xx.add()
        default: break
        }
    }
}
