// SPDX-License-Identifier: Apache-2.0
// request path

package import NIOCore

#if canImport(Glibc)
    import Glibc
#endif

/// The latency of one endpoint, as far as it is known: a peak counts at once, and is forgotten slowly.
///
/// Pure. To be compared by ``LeastRequest``, which keeps endpoints that look equal from being chosen in order.
///
/// A failure counts as a peak as well, since who refuses at once would look like the fastest of all; an answer after it halves
/// it.
///
/// - Source: the Peak EWMA balancer of Finagle, for the idea: the moving average over unevenly spaced times, the peaks,
///   and the cost that grows with the requests under way. Linkerd's proxy, for the penalty of failures.
package struct PeakEWMA: Sendable {
    /// After this long without a request a latency counts for a third (1/e) of what it was, in nanoseconds.
    private static let timeConstant = 10e9
    /// The cost of requests under way at an endpoint that has not answered yet: more than any latency, in nanoseconds.
    private static let unmeasured = 1e18

    private var latency = 0.0
    /// What failures are taken for; 0 where there were none.
    private var penalty = 0.0
    private var updated = NIODeadline.uptimeNanoseconds(0)

    /// Nothing measured.
    package init() {}

    /// Takes in what one answered request took.
    package mutating func observe(_ latency: Duration, at now: NIODeadline) {
        // Not below a nanosecond: 0 is for what was not measured.
        let observed = Double(max(1, TimeAmount(latency).nanoseconds))
        let weight = self.weight(at: now)
        self.latency = max(observed, self.latency * weight + observed * (1 - weight))
        self.penalty *= weight / 2
        self.updated = max(self.updated, now)
    }

    /// Takes in a request that has failed after `time`.
    package mutating func fail(after time: Duration, at now: NIODeadline) {
        let weight = self.weight(at: now)
        self.latency *= weight
        let failed = FailurePenalty.of(Double(TimeAmount(time).nanoseconds), usual: self.latency)
        self.penalty = max(self.penalty * weight, failed)
        self.updated = max(self.updated, now)
    }

    /// What one more request costs here: lower is better.
    ///
    /// An endpoint that was never measured is free as long as it has no requests, so it gets one, and no second until
    /// it has answered unless all others are in the same case. One that was not used for a while costs less and less.
    ///
    /// - Parameter outstanding: The requests under way to the endpoint, without the one that looks for a place.
    /// - Returns: Nanoseconds, in a sense.
    package func cost(outstanding: Int, at now: NIODeadline) -> Double {
        let waiting = Double(max(0, outstanding))
        let known = max(self.latency, self.penalty)
        guard known > 0 else { return waiting > 0 ? Self.unmeasured + waiting * 1e9 : 0 }
        return known * self.weight(at: now) * (waiting + 1)
    }

    /// How much the latency known so far still counts, 0…1.
    private func weight(at now: NIODeadline) -> Double {
        guard now > self.updated else { return 1 }
        return exp(-Double((now - self.updated).nanoseconds) / Self.timeConstant)
    }
}
