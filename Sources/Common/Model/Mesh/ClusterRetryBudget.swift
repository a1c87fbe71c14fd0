// SPDX-License-Identifier: Apache-2.0
// request path

/// How many retries of a cluster there may be at a time, by what is under way.
///
/// - Source: `retry_budget` of the circuit breakers of Envoy's clusters.
package struct ClusterRetryBudget: Sendable, Hashable {
    /// So many for each hundred requests that are under way.
    package let percent: Double
    /// As many always.
    package let least: Int

    /// - Parameter percent: 0 to 100.
    package init(percent: Double, least: Int) {
        self.percent = percent
        self.least = least
    }

    /// Most retries at a time.
    ///
    /// - Parameter requests: How many requests are under way.
    package func most(of requests: Int) -> Int { max(self.least, Int(Double(requests) * self.percent / 100)) }
}
