// SPDX-License-Identifier: Apache-2.0

import Common
import Proxy
import Testing

@Suite struct WeightedResponseTests {
    @Test("round robin for the first 30 seconds, and exact", arguments: [2, 3, 50])
    func first(count: Int) {
        var (random, turn) = (FastRandom(seed: 1), RoundRobin(startingAt: 0))
        var balancer = WeightedResponse(count: count, at: .at(.seconds(5)))
        for index in 0..<count { balancer.observe(index, .milliseconds(100 - index)) }
        let picks = (0..<count * 2).map { _ in
            balancer.pick(of: count, at: .at(.seconds(34.9)), using: &random, turn: &turn)
        }
        #expect(picks == Array(0..<count) + Array(0..<count))
        #expect(balancer.pick(of: 0, at: .at(.seconds(34)), using: &random, turn: &turn) == nil)
    }

    @Test("then 70 % to the fastest, and the rest in turn", arguments: [(2, 0.85), (3, 0.8), (50, 0.706)])
    func fastest(count: Int, share: Double) {
        var (random, turn) = (FastRandom(seed: 2), RoundRobin(startingAt: 0))
        var balancer = WeightedResponse(count: count, at: .at(.zero))
        for index in 0..<count { balancer.observe(index, .milliseconds(index == 1 ? 20 : 30 + index)) }
        let tally = tally(count, picks: 30_000) {
            balancer.pick(of: count, at: .at(.seconds(30)), using: &random, turn: &turn)
        }
        #expect(abs(Double(tally[1]) / 30_000 - share) < 0.015)
        let others = tally.enumerated().filter { $0.offset != 1 }.map(\.element)
        #expect((others.max() ?? 0) - (others.min() ?? 0) <= 1)
    }

    @Test("goes by the last ten latencies, every 30 seconds")
    func means() {
        var (random, turn) = (FastRandom(seed: 3), RoundRobin(startingAt: 0))
        var balancer = WeightedResponse(count: 3, at: .at(.zero))
        func favourite(at second: Int) -> Int? {
            let tally = tally(3, picks: 1_000) {
                balancer.pick(of: 3, at: .at(.seconds(second)), using: &random, turn: &turn)
            }
            return tally.firstIndex { $0 > 600 }
        }
        #expect(favourite(at: 30) == nil)
        for _ in 0..<10 { balancer.observe(0, .milliseconds(1)) }
        for _ in 0..<3 { balancer.observe(2, .milliseconds(50)) }
        #expect(favourite(at: 59) == nil)
        #expect(favourite(at: 60) == 0)
        for _ in 0..<9 { balancer.observe(0, .milliseconds(55)) }
        #expect(favourite(at: 89) == 0)
        #expect(favourite(at: 90) == 0)
        balancer.observe(0, .milliseconds(55))
        #expect(favourite(at: 120) == 2)
        balancer.observe(3, .zero)
        balancer.observe(-1, .zero)
        balancer.observe(1, .seconds(100_000))
        #expect(favourite(at: 150) == 2)
        // The fastest one is not among those that are left.
        #expect(
            (0..<4).map { _ in balancer.pick(of: 2, at: .at(.seconds(151)), using: &random, turn: &turn) }.count {
                $0 == 0
            } == 2)
    }
}
