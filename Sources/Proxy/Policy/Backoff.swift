// SPDX-License-Identifier: Apache-2.0
// request path

package import Common
import NIOCore

extension Backoff {
    /// Waits without a maximum grow to this at most, in nanoseconds: an hour.
    private static let longest = 3_600e9

    /// The wait before one more attempt.
    ///
    /// - Parameter attempt: 1 for the first retry, 2 for the one after it ….
    /// - Returns: Whole nanoseconds; 0 stands for "at once".
    package func wait(before attempt: Int, using random: inout some RandomNumberGenerator) -> Duration {
        guard self.kind != .zero, self.minimum > .zero else { return .zero }
        guard self.kind == .exponential else { return self.minimum }
        var wait = Double(TimeAmount(self.minimum).nanoseconds)
        let hasMaximum = self.maximum >= self.minimum
        let limit = hasMaximum ? Double(TimeAmount(self.maximum).nanoseconds) : max(wait, Self.longest)
        var left = attempt
        while left > 1, wait < limit {
            wait = min(wait * (self.beginsAtZero ? 2 : 1.5), limit)
            left -= 1
        }
        wait *= Double.random(in: self.beginsAtZero ? 0...1 : 0.5...1.5, using: &random)
        return .nanoseconds(Int64(min(wait, 9e18)))
    }
}
