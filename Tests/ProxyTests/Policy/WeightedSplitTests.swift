// SPDX-License-Identifier: Apache-2.0

import Common
import Proxy
import Testing

@Suite struct WeightedSplitTests {
    @Test(
        "is exact over every period",
        arguments: [
            // weights, period, members of one period
            ([25, 25, 50], 4, [1, 1, 2]), ([90, 10], 10, [9, 1]), ([1, 99], 100, [1, 99]), ([100], 1, [1]),
            ([0, 100], 1, [0, 1]), ([33, 33, 34], 100, [33, 33, 34]), ([0, 0, 0], 3, [1, 1, 1]), ([-5, 3], 1, [0, 1]),
            ([5, 1, 1], 7, [5, 1, 1]), ([20, 0, 30], 5, [2, 0, 3]),
        ])
    func exact(weights: [Int], period: Int, expected: [Int]) {
        var split = WeightedSplit(weights)
        let picks = (0..<period * 50).map { _ in split.next() }
        for start in 0..<period * 49 {
            let window = picks[start..<start + period]
            let counts = weights.indices.map { index in window.count { $0 == index } }
            if counts != expected { Issue.record("from \(start) on: \(counts)") }
        }
    }

    @Test("25/25/50 over 4,000 calls")
    func large() {
        var split = WeightedSplit([25, 25, 50])
        #expect(tally(3, picks: 4_000) { split.next() } == [1_000, 1_000, 2_000])
    }

    @Test("begins with the heaviest, and spreads the turns of each")
    func smooth() {
        var split = WeightedSplit([5, 1, 1])
        #expect((0..<7).map { _ in split.next() } == [0, 0, 1, 0, 2, 0, 0])
        var canary = WeightedSplit([90, 10])
        let picks = (0..<1_000).map { _ in canary.next() }
        #expect(picks.first == 0)
        let turns = picks.indices.filter { picks[$0] == 1 }
        #expect(zip(turns, turns.dropFirst()).allSatisfy { $1 - $0 == 10 })
        var even = WeightedSplit([50, 50])
        #expect((0..<4).map { _ in even.next() } == [0, 1, 0, 1])
    }

    @Test("takes the largest weights")
    func extremes() {
        var split = WeightedSplit([.max, .max, .min])
        #expect((0..<4).map { _ in split.next() } == [0, 1, 0, 1])
    }
}
