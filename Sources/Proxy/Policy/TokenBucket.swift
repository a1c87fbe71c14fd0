// SPDX-License-Identifier: Apache-2.0
// request path

package import NIOCore

/// Lets a number of requests per second through, and some more at once after a pause.
///
/// Pure: the whole state is one number that the owner keeps, the time in nanoseconds at which the bucket will be full
/// again. A number of the past, such as 0, is a full bucket.
///
/// - Source: go-chassis, the form of 2.x; the generic cell rate algorithm of ITU-T I.371 for the state.
package struct TokenBucket: Sendable, Equatable {
    /// What to do with a request.
    package enum Admission: Sendable, Equatable {
        /// It has taken a token.
        case admitted
        /// No token is left.
        ///
        /// The next one comes after `retryAfter`; `nil` when none will ever come.
        case refused(retryAfter: Duration?)
    }

    /// Nanoseconds that one token takes to come; 0 when none ever comes.
    private let interval: Int64
    /// How far ahead the arrival may be for one more token to be there.
    private let tolerance: Int64

    /// A bucket for `rate` tokens per second.
    ///
    /// An interval is a whole number of nanoseconds, rounded up: the rate is exact to a thousandth up to a million per
    /// second, and never exceeded.
    ///
    /// - Parameter rate: When not positive, every request is refused.
    /// - Parameter burst: How many tokens it holds, at least one; `nil` stands for a fifth of the rate, or for 10 when
    ///   that is nothing.
    package init(rate: Int, burst: Int? = nil) {
        guard rate > 0 else {
            self.interval = 0
            self.tolerance = 0
            return
        }
        let interval = Int64(max(1, (1_000_000_000 - 1) / rate + 1))
        let capacity = max(1, burst ?? (rate < 5 ? 10 : rate / 5))
        let (tolerance, overflow) = interval.multipliedReportingOverflow(by: Int64(capacity - 1))
        self.interval = interval
        self.tolerance = overflow ? Self.latest / 2 : min(tolerance, Self.latest / 2)
    }

    /// Takes a token, if there is one.
    ///
    /// - Parameter arrival: The state, as the last call left it.
    @inline(__always)
    package func admit(at now: NIODeadline, arrival: inout Int64) -> Admission {
        guard self.interval > 0 else { return .refused(retryAfter: nil) }
        let now = Self.nanoseconds(now)
        let ahead = arrival - now
        guard ahead <= self.tolerance else { return .refused(retryAfter: .nanoseconds(ahead - self.tolerance)) }
        arrival = max(arrival, now) + self.interval
        return .admitted
    }

    /// How many tokens there are at `now`.
    package func available(at now: NIODeadline, arrival: Int64) -> Int {
        let ahead = max(0, arrival - Self.nanoseconds(now))
        guard self.interval > 0, ahead <= self.tolerance else { return 0 }
        return Int((self.tolerance - ahead) / self.interval) + 1
    }

    /// Times beyond this one, 146 years after the start of the machine, count as this: no sum overflows.
    private static let latest = Int64.max / 2

    private static func nanoseconds(_ now: NIODeadline) -> Int64 {
        Int64(min(now.uptimeNanoseconds, UInt64(Self.latest)))
    }
}
