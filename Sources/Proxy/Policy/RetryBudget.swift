// SPDX-License-Identifier: Apache-2.0
// request path

package import NIOCore

/// Keeps retries from multiplying the load on a service that fails.
///
/// The retries of the last ten seconds may be a share of the requests of that time, and a few more, so that a service
/// with few requests has its retries too. Pure, a few instructions per request; for one event loop.
///
/// - Source: Finagle's retry budget, for the idea of a share and a floor.
package final class RetryBudget {
    private let percent: Int
    private let reserve: Int
    private var window = RollingWindow()

    /// A budget without requests.
    ///
    /// - Parameter percent: Retries for every hundred requests, 0…1,000.
    /// - Parameter perSecond: Retries beside these, averaged over ten seconds; 0…1,000,000.
    /// - Parameter loops: How many event loops have a budget like this: these retries are shared, one in ten seconds at
    ///   least for each.
    package init(percent: Int = 20, perSecond: Int = 10, loops: Int = 1) {
        self.percent = min(max(percent, 0), 1_000)
        let reserve = min(max(perSecond, 0), 1_000_000) * RollingWindow.seconds
        let loops = max(1, loops)
        self.reserve = (reserve + loops - 1) / loops
    }

    /// Counts a request; once for each, not for its retries.
    package func request(at now: NIODeadline) { self.window.add(requests: 1, at: now) }

    /// Takes one retry from the budget.
    ///
    /// - Parameter percent: Another share than the budget's own, 0…1,000: what others have taken counts as well.
    /// - Returns: `false` when none is left: what the last attempt brought is final.
    package func mayRetry(at now: NIODeadline, percent: Int? = nil) -> Bool {
        self.window.advance(to: now)
        let percent = percent ?? self.percent
        guard self.window.marks < self.window.requests &* percent / 100 &+ self.reserve else { return false }
        self.window.add(marks: 1, at: now)
        return true
    }
}
