// SPDX-License-Identifier: Apache-2.0
// request path

package import NIOCore

/// Prefers the member that answered fastest of late, by the means of every half minute.
///
/// 70 % of the picks take it, the rest go round robin: of two members it gets 85 %, of three 80 %. Pure; the caller keeps
/// one for each set of members, and the latencies of each member.
///
/// - Source: go-chassis
package struct WeightedResponse: Sendable {
    /// How often the means are compared.
    package static let period = TimeAmount.seconds(30)
    /// The share of the picks that goes to the fastest member directly, in percent.
    package static let directPercent = 70

    private var fastest: Int?
    private var nextRanking: NIODeadline

    /// Nothing compared: round robin for the first 30 seconds.
    package init(at now: NIODeadline) { self.nextRanking = now + Self.period }

    /// Goes on with other members at the times of the one before: the fastest is found at once if there was one.
    ///
    /// - Parameter mean: See ``pick(of:at:using:turn:mean:)``.
    package init(upon old: WeightedResponse, count: Int, mean: (Int) -> Double?) {
        self.nextRanking = old.nextRanking
        if old.fastest != nil { self.rank(count, mean) }
    }

    /// The next member.
    ///
    /// Cost: a random number; O(n) every 30 seconds.
    ///
    /// - Parameter count: How many of the members are to be had, from the first one on.
    /// - Parameter mean: How long the answers of a member take; `nil` when that is not known.
    /// - Returns: `nil` when there are none.
    package mutating func pick(
        of count: Int, at now: NIODeadline, using random: inout some RandomNumberGenerator, turn: inout RoundRobin,
        mean: (Int) -> Double?
    ) -> Int? {
        if now >= self.nextRanking {
            self.nextRanking = now + Self.period
            self.rank(count, mean)
        }
        guard let fastest = self.fastest, fastest < count,
            Int.random(in: 0..<100, using: &random) < Self.directPercent
        else { return turn.pick(of: count) }
        return fastest
    }

    private mutating func rank(_ count: Int, _ mean: (Int) -> Double?) {
        var best = Double.infinity
        self.fastest = nil
        for index in 0..<count {
            guard let mean = mean(index), mean < best else { continue }
            (self.fastest, best) = (index, mean)
        }
    }
}
