// SPDX-License-Identifier: Apache-2.0
// request path

package import NIOCore
import Synchronization

/// One token bucket that all event loops take from.
///
/// Cost: one load to refuse, one compare-and-exchange to admit; no lock.
package final class RateLimiter: Sendable {
    private let bucket: TokenBucket
    private let arrival = Atomic<Int64>(0)

    /// A full bucket; a changed limit needs a new one.
    ///
    /// - Parameter rate: Requests per second; when not positive, every request is refused.
    /// - Parameter burst: See ``TokenBucket/init(rate:burst:)``.
    package init(rate: Int, burst: Int? = nil) { self.bucket = TokenBucket(rate: rate, burst: burst) }

    /// Takes a token, if there is one.
    package func admit(at now: NIODeadline) -> TokenBucket.Admission {
        var found = self.arrival.load(ordering: .relaxed)
        while true {
            var next = found
            let admission = self.bucket.admit(at: now, arrival: &next)
            guard admission == .admitted else { return admission }
            let (isMine, other) = self.arrival.weakCompareExchange(expected: found, desired: next, ordering: .relaxed)
            if isMine { return .admitted }
            found = other
        }
    }

    /// How many tokens there are at `now`.
    package func available(at now: NIODeadline) -> Int {
        self.bucket.available(at: now, arrival: self.arrival.load(ordering: .relaxed))
    }
}
