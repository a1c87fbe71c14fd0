// SPDX-License-Identifier: Apache-2.0

/// A limit of marked requests.
///
/// - Source: `servicecomb.rateLimiting.<policy>` of go-chassis 2.
package struct RateLimitPolicy: Sendable, Equatable {
    /// The policy's name.
    package let name: String
    /// The mark of the requests; `none` for those without one.
    package let match: String
    /// Requests a second; 0 or less refuses all.
    package let rate: Int
    /// How many may come at once; `nil` for a fifth of the rate.
    package let burst: Int?

    /// A limit.
    package init(_ name: String, match: String, rate: Int, burst: Int?) {
        self.name = name
        self.match = match
        self.rate = rate
        self.burst = burst
    }
}
