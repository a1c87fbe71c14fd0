// SPDX-License-Identifier: Apache-2.0
// request path

package import NIOCore

/// Prefers the member that answered fastest of late, by the means of every half minute.
///
/// 70 % of the picks take it, the rest go round robin: of two members it gets 85 %, of three 80 %. Pure; the caller keeps
/// one for each set of members, and makes a new one when the set changes.
///
/// - Source: go-chassis
package struct WeightedResponse: Sendable {
    /// The last ten latencies of one member, in microseconds.
    private struct Member {
        var latencies = InlineArray<10, UInt32>(repeating: 0)
        var used = 0
        var next = 0

        mutating func add(_ latency: UInt32) {
            self.latencies[self.next] = latency
            self.next = (self.next + 1) % self.latencies.count
            self.used = min(self.used + 1, self.latencies.count)
        }

        /// `nil` when nothing is known.
        var mean: Double? {
            guard self.used > 0 else { return nil }
            var sum: UInt64 = 0
            for index in 0..<self.used { sum &+= UInt64(self.latencies[index]) }
            return Double(sum) / Double(self.used)
        }
    }

    /// How often the means are computed.
    package static let period = TimeAmount.seconds(30)
    /// The share of the picks that goes to the fastest member directly, in percent.
    package static let directPercent = 70

    private var members: [Member]
    private var fastest: Int?
    private var nextRanking: NIODeadline

    /// Nothing measured: round robin for the first 30 seconds.
    package init(count: Int, at now: NIODeadline) {
        self.members = Array(repeating: Member(), count: max(0, count))
        self.nextRanking = now + Self.period
    }

    /// Takes in how long a call took that did not fail.
    ///
    /// - Parameter index: Of the member; others than those that the set was made for are left out.
    package mutating func observe(_ index: Int, _ latency: Duration) {
        guard self.members.indices.contains(index) else { return }
        self.members[index].add(UInt32(clamping: TimeAmount(latency).nanoseconds / 1_000))
    }

    /// The next member.
    ///
    /// Cost: a random number; O(n) every 30 seconds.
    ///
    /// - Parameter count: How many of the members are to be had, from the first one on.
    /// - Returns: `nil` when there are none.
    package mutating func pick(
        of count: Int, at now: NIODeadline, using random: inout some RandomNumberGenerator, turn: inout RoundRobin
    ) -> Int? {
        if now >= self.nextRanking { self.rank(at: now) }
        guard let fastest = self.fastest, fastest < count,
            Int.random(in: 0..<100, using: &random) < Self.directPercent
        else { return turn.pick(of: count) }
        return fastest
    }

    private mutating func rank(at now: NIODeadline) {
        self.nextRanking = now + Self.period
        var best = Double.infinity
        self.fastest = nil
        for index in self.members.indices {
            guard let mean = self.members[index].mean, mean < best else { continue }
            (self.fastest, best) = (index, mean)
        }
    }
}
