// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import Testing

@testable import Proxy

@Suite struct ClusterBalancerTests {
    private static let key = "cse.loadbalance.strategy.name"
    private static let picks = 4_000

    /// How often each instance was picked while some may not be.
    private func shares(
        _ strategy: BalancingPolicy.Strategy, of count: Int, without excluded: Set<Int>,
        prepare: (BalancingBench, ClusterBalancer) -> Void = { _, _ in }
    ) throws -> [Int] {
        let bench = try BalancingBench(
            ["cart": BalancingBench.endpoints(count)],
            [Self.key: strategy.rawValue, "cse.loadbalance.RingHash.header": "x-user"])
        let balancer = try bench.balancer()
        prepare(bench, balancer)
        var random = FastRandom(seed: 7)
        return tally(count, picks: Self.picks) {
            balancer.pick(hash: random.next(), at: bench.worker.now, using: &random) { endpoint in
                !excluded.contains { balancer.set.endpoints[$0] === endpoint }
            }
        }
    }

    @Test(
        "what an ejected instance would have got is spread over all others",
        arguments: BalancingPolicy.Strategy.allCases)
    func spread(strategy: BalancingPolicy.Strategy) throws {
        let mean = Double(Self.picks) / 3
        // Where an instance stands on the ring is chance: its own share is within a fifth of the mean, so with one gone.
        let tolerance = strategy.isHashed ? 0.2 : 0.06
        for ejected in 0..<4 {
            let shares = try self.shares(strategy, of: 4, without: [ejected])
            #expect(shares[ejected] == 0)
            for index in 0..<4 where index != ejected {
                #expect(abs(Double(shares[index]) - mean) <= mean * tolerance, "\(strategy) \(ejected): \(shares)")
            }
        }
    }

    @Test(
        "what an operator withholds gets nothing, whoever else may be chosen",
        arguments: BalancingPolicy.Strategy.allCases)
    func withheld(strategy: BalancingPolicy.Strategy) throws {
        func shares(_ withheld: [Int], ejected: [Int]) throws -> [Int] {
            let bench = try BalancingBench(
                ["cart": BalancingBench.endpoints(4)],
                [Self.key: strategy.rawValue, "cse.loadbalance.RingHash.header": "x-user"])
            let balancer = try bench.balancer()
            for index in withheld { balancer.set.endpoints[index].health.set(index == 0 ? .disabled : .draining) }
            let settings = OutlierSettings(consecutiveErrors: 1)
            for index in ejected {
                _ = balancer.set.endpoints[index].health.failed(.response, at: bench.worker.now, settings: settings) {
                    true
                }
            }
            var random = FastRandom(seed: 7)
            var counts = [Int](repeating: 0, count: 5)
            for _ in 0..<Self.picks {
                let index = balancer.pick(hash: random.next(), at: bench.worker.now, using: &random) {
                    !$0.health.isEjected(at: bench.worker.now)
                }
                counts[index ?? 4] += 1
            }
            return counts
        }
        let two = try shares([0, 1], ejected: [])
        #expect(two[0] + two[1] + two[4] == 0 && min(two[2], two[3]) > Self.picks / 4, "\(two)")
        // Those that are ejected make up for it rather than what somebody wants left alone.
        let one = try shares([0, 1], ejected: [2, 3])
        #expect(one[0] + one[1] + one[4] == 0 && min(one[2], one[3]) > Self.picks / 8, "\(one)")
        #expect(try shares([0, 1, 2, 3], ejected: []) == [0, 0, 0, 0, Self.picks])
    }

    @Test("what is withheld does not count where shares of endpoints may be ejected")
    func cap() throws {
        let bench = try BalancingBench(["cart": BalancingBench.endpoints(4)], [:])
        let balancer = try bench.balancer()
        let now = bench.worker.now
        #expect(balancer.mayEject(at: now, maxPercent: 25) && balancer.availableCount == 4)
        for index in 0..<2 { balancer.set.endpoints[index].health.set(.disabled) }
        #expect(!balancer.mayEject(at: now, maxPercent: 25) && balancer.mayEject(at: now, maxPercent: 50))
        #expect(balancer.availableCount == 2)
        balancer.set.endpoints[2].health.set(.draining)
        #expect(!balancer.mayEject(at: now, maxPercent: 100), "never the last one")
    }

    @Test("on the ring, what an ejected instance had goes to several, and nothing else moves")
    func ring() throws {
        let before = try self.shares(.ringHash, of: 4, without: [])
        let after = try self.shares(.ringHash, of: 4, without: [1])
        for index in [0, 2, 3] {
            let gain = after[index] - before[index]
            #expect(gain > before[1] / 5 && gain < before[1] / 2, "\(before) \(after)")
        }
    }

    @Test("whoever answers fastest by far does not hand its share to one other when it is ejected")
    func fastest() throws {
        let shares = try self.shares(.weightedResponse, of: 4, without: [1]) { bench, balancer in
            for index in 0..<4 {
                balancer.observe(.milliseconds(index == 1 ? 1 : 50), of: index, at: bench.worker.now)
            }
            bench.advance(.seconds(31))
        }
        #expect(shares[1] == 0 && [0, 2, 3].allSatisfy { abs(shares[$0] - Self.picks / 3) <= 2 }, "\(shares)")
    }

    @Test(
        "few of many that may be chosen get even shares; where none may, all do",
        arguments: BalancingPolicy.Strategy.allCases)
    func few(strategy: BalancingPolicy.Strategy) throws {
        let shares = try self.shares(strategy, of: 40, without: Set(0..<40).subtracting([3, 30]))
        #expect(shares[3] + shares[30] == Self.picks)
        #expect(shares[3] > Self.picks * 2 / 5 && shares[30] > Self.picks * 2 / 5, "\(strategy): \(shares)")
        let none = try self.shares(strategy, of: 4, without: Set(0..<4))
        #expect(none.reduce(0, +) == Self.picks && none.allSatisfy { $0 > Self.picks / 8 }, "\(strategy): \(none)")
    }
}
