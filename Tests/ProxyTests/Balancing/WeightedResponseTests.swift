// SPDX-License-Identifier: Apache-2.0

import Common
import Proxy
import Testing

@Suite struct WeightedResponseTests {
    /// A balancer with the latencies of its members.
    private struct Members {
        var balancer: WeightedResponse
        var latencies: [LatestLatencies]
        var random = FastRandom(seed: 1)
        var turn = RoundRobin(startingAt: 0)

        init(_ count: Int, at time: Duration = .zero) {
            self.balancer = WeightedResponse(at: .at(time))
            self.latencies = Array(repeating: LatestLatencies(), count: count)
        }

        mutating func pick(of count: Int? = nil, at time: Duration) -> Int? {
            self.balancer.pick(
                of: count ?? self.latencies.count, at: .at(time), using: &self.random, turn: &self.turn
            ) { [latencies = self.latencies] in latencies[$0].mean }
        }

        /// Whom most of a thousand picks take.
        mutating func favourite(at time: Duration) -> Int? {
            tally(self.latencies.count, picks: 1_000) { self.pick(at: time) }.firstIndex { $0 > 600 }
        }
    }

    @Test("round robin for the first 30 seconds, and exact", arguments: [2, 3, 50])
    func first(count: Int) {
        var members = Members(count, at: .seconds(5))
        for index in 0..<count { members.latencies[index].add(.milliseconds(100 - index)) }
        let picks = (0..<count * 2).map { _ in members.pick(at: .seconds(34.9)) }
        #expect(picks == Array(0..<count) + Array(0..<count))
        #expect(members.pick(of: 0, at: .seconds(34)) == nil)
    }

    @Test("then 70 % to the fastest, and the rest in turn", arguments: [(2, 0.85), (3, 0.8), (50, 0.706)])
    func fastest(count: Int, share: Double) {
        var members = Members(count)
        for index in 0..<count { members.latencies[index].add(.milliseconds(index == 1 ? 20 : 30 + index)) }
        let tally = tally(count, picks: 30_000) { members.pick(at: .seconds(30)) }
        #expect(abs(Double(tally[1]) / 30_000 - share) < 0.015)
        let others = tally.enumerated().filter { $0.offset != 1 }.map(\.element)
        #expect((others.max() ?? 0) - (others.min() ?? 0) <= 1)
    }

    @Test("goes by the last ten latencies, every 30 seconds")
    func means() {
        var members = Members(3)
        #expect(members.favourite(at: .seconds(30)) == nil)
        for _ in 0..<10 { members.latencies[0].add(.milliseconds(1)) }
        for _ in 0..<3 { members.latencies[2].add(.milliseconds(50)) }
        #expect(members.favourite(at: .seconds(59)) == nil)
        #expect(members.favourite(at: .seconds(60)) == 0)
        for _ in 0..<9 { members.latencies[0].add(.milliseconds(55)) }
        #expect(members.favourite(at: .seconds(89)) == 0)
        #expect(members.favourite(at: .seconds(90)) == 0)
        members.latencies[0].add(.milliseconds(55))
        #expect(members.favourite(at: .seconds(120)) == 2)
        members.latencies[1].add(.seconds(100_000))
        #expect(members.favourite(at: .seconds(150)) == 2)
        // The fastest one is not among those that are left.
        #expect((0..<4).map { _ in members.pick(of: 2, at: .seconds(151)) }.count { $0 == 0 } == 2)
    }

    @Test("a member that fails is not the fastest any more, however quickly it does")
    func failure() {
        var members = Members(2)
        for _ in 0..<10 {
            members.latencies[0].add(.milliseconds(1))
            members.latencies[1].add(.milliseconds(50))
        }
        #expect(members.favourite(at: .seconds(30)) == 0)
        members.latencies[0].addFailure(after: .microseconds(100))
        #expect(members.favourite(at: .seconds(60)) == 1)
    }

    @Test("other members take over the times, and the fastest of them is known at once")
    func takeover() {
        var members = Members(3)
        members.latencies[1].add(.milliseconds(1))
        #expect(members.favourite(at: .seconds(30)) == 1)
        members.latencies.removeFirst()
        members.balancer = WeightedResponse(upon: members.balancer, count: 2) { [latencies = members.latencies] in
            latencies[$0].mean
        }
        #expect(members.favourite(at: .seconds(31)) == 0)
        members.latencies[1].add(.microseconds(1))
        #expect(members.favourite(at: .seconds(59)) == 0)
        #expect(members.favourite(at: .seconds(60)) == 1)
        members.balancer = WeightedResponse(at: .at(.seconds(61)))
        members.balancer = WeightedResponse(upon: members.balancer, count: 2) { _ in 1 }
        #expect(members.favourite(at: .seconds(62)) == nil)
    }
}
