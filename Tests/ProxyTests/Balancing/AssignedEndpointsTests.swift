// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import TestSupport
import Testing

@testable import Proxy

/// The choice among endpoints that a control plane has assigned.
@Suite struct AssignedEndpointsTests {
    private static let key = "cse.loadbalance.strategy.name"
    private static let picks = 12_000

    /// Entries at 10.0.0.1 and so on.
    private static func entries(_ count: Int, _ change: (Int) -> (Int, Int, ClusterEntry.Condition)) -> [ClusterEntry] {
        (0..<count).map { index in
            let (weight, priority, condition) = change(index)
            return ClusterEntry(
                "rest://10.0.0.\(index + 1):80", weight: weight, priority: priority, condition: condition)
        }
    }

    private static func balancer(
        _ bench: BalancingBench, _ entries: [ClusterEntry], panic: Int = 0, weights: [LocalityWeight] = [],
        isHashed: Bool = false
    ) throws -> ClusterBalancer {
        try bench.assign(entries, weights: weights)
        var settings = ClusterSettings()
        settings.panicThreshold = panic
        let policy = try bench.state().policy.balancing
        let service = try #require(bench.worker.directory["cart"])
        let loads = service.defaultEndpoints.endpoints.map { EndpointLoad($0, $0.traffic.shard(of: 0)) }
        return ClusterBalancer(
            service.defaultEndpoints, of: Cluster(name: "cart", .service("cart", InstanceTags()), settings: settings),
            service, near: RegionConfig(), policy,
            counters: bench.worker.metrics.counters(.service("cart", app: "", version: "")), tickets: nil,
            tls: bench.worker.tls, turn: BalancerTurn(RoundRobin(startingAt: 0)), loads: loads,
            rings: isHashed ? (SharedRings(), 0) : nil,
            at: bench.worker.now, using: &bench.worker.random)
    }

    /// How many percent of the picks each gets; the last number is for nobody.
    private static func percent(
        _ bench: BalancingBench, _ balancer: ClusterBalancer, failed: [Int] = [], isHashed: Bool = false
    ) -> [Double] {
        var random = FastRandom(seed: 7)
        var counts = [Int](repeating: 0, count: balancer.loads.count + 1)
        for _ in 0..<Self.picks {
            let index = balancer.pickAssigned(
                hash: isHashed ? random.next() : nil, at: bench.worker.now, using: &random,
                besides: failed.map { balancer.set.endpoints[$0] })
            counts[index ?? balancer.loads.count] += 1
        }
        return counts.map { Double($0) * 100 / Double(Self.picks) }
    }

    private static func isNear(_ found: [Double], _ expected: [Double], by tolerance: Double = 2) -> Bool {
        found.count == expected.count
            && zip(found, expected).allSatisfy { abs($0 - $1) <= tolerance && ($1 > 0 || $0 == 0) }
    }

    private static func eject(_ bench: BalancingBench, _ balancer: ClusterBalancer, _ indices: [Int]) {
        let settings = OutlierSettings(consecutiveErrors: 1)
        for index in indices {
            _ = balancer.set.endpoints[index].health.failed(.response, at: bench.worker.now, settings: settings) {
                true
            }
        }
    }

    @Test("what an operator withholds is not used, in panic neither, and is none of those that are missing")
    func withheld() throws {
        let bench = try BalancingBench([:], [:])
        let balancer = try Self.balancer(bench, Self.entries(4) { _ in (1, 0, .healthy) }, panic: 60)
        balancer.set.endpoints[0].health.set(.disabled)
        balancer.set.endpoints[1].health.set(.draining)
        #expect(Self.isNear(Self.percent(bench, balancer), [0, 0, 50, 50, 0]))
        // One of two is less than the threshold: what is ejected is used, and nothing else.
        Self.eject(bench, balancer, [2])
        #expect(Self.isNear(Self.percent(bench, balancer), [0, 0, 50, 50, 0]))
        balancer.set.endpoints[2].health.set(.disabled)
        #expect(Self.isNear(Self.percent(bench, balancer), [0, 0, 0, 100, 0]))
        balancer.set.endpoints[3].health.set(.disabled)
        #expect(Self.isNear(Self.percent(bench, balancer), [0, 0, 0, 0, 100]))
        let other = try BalancingBench([:], [:])
        let weighted = try Self.balancer(other, Self.entries(3) { ([1, 3, 6][$0], 0, .healthy) }, panic: 50)
        weighted.set.endpoints[2].health.set(.disabled)
        #expect(Self.isNear(Self.percent(other, weighted), [25, 75, 0, 0]))
    }

    @Test("weights hold over many requests", arguments: ["RoundRobin", "Random", "LeastRequest", "PeakEWMA"])
    func weights(strategy: String) throws {
        let bench = try BalancingBench([:], [Self.key: strategy])
        let balancer = try Self.balancer(bench, Self.entries(3) { ([1, 3, 6][$0], 0, .healthy) })
        #expect(Self.isNear(Self.percent(bench, balancer), [10, 30, 60, 0]))
    }

    @Test("with each request under way a weight is worth less")
    func leastRequest() throws {
        let bench = try BalancingBench([:], [Self.key: "LeastRequest"])
        let balancer = try Self.balancer(bench, Self.entries(2) { ([1, 3][$0], 0, .healthy) })
        balancer.loads[1].outstanding = 3
        balancer.loads[0].outstanding = 2
        // 1/3 to 3/4.
        let found = Self.percent(bench, balancer)
        #expect(Self.isNear(found, [30.8, 69.2, 0], by: 0.5), "\(found)")
    }

    @Test("of two that are drawn from a priority, the one with fewer requests is taken")
    func leastRequestOfPriority() throws {
        let bench = try BalancingBench([:], [Self.key: "LeastRequest"])
        let balancer = try Self.balancer(bench, Self.entries(3) { (1, $0 < 2 ? 0 : 1, .healthy) })
        balancer.loads[1].outstanding = 3
        balancer.loads[0].outstanding = 2
        // The second is taken only when it is drawn twice.
        let found = Self.percent(bench, balancer)
        #expect(Self.isNear(found, [75, 25, 0, 0]), "\(found)")
    }

    @Test("weights are exact over a few requests, wherever they begin and whoever is missing meanwhile")
    func exactWeights() throws {
        let bench = try BalancingBench([:])
        let balancer = try Self.balancer(bench, Self.entries(3) { ([1, 3, 6][$0], 0, .healthy) })
        var random = FastRandom(seed: 7)
        func counts(_ picks: Int) -> [Int] {
            tally(3, picks: picks) {
                balancer.pickAssigned(hash: nil, at: bench.worker.now, using: &random, besides: [])
            }
        }
        for picks in [10, 7, 20, 13, 40] {
            let found = counts(picks)
            for (count, share) in zip(found, [0.1, 0.3, 0.6]) {
                #expect(abs(Double(count) - Double(picks) * share) <= 1.5, "\(picks): \(found)")
            }
        }
        Self.eject(bench, balancer, [2])
        let alone = counts(40)
        #expect(alone[2] == 0 && abs(alone[1] - 30) <= 1, "\(alone)")
        bench.advance(.seconds(3600))
        let back = counts(40)
        #expect(zip(back, [4, 12, 24]).allSatisfy { abs($0 - $1) <= 2 }, "\(back)")
    }

    @Test("a turn goes on when nothing has changed but a weight or what governs the calls")
    func turnsGoOn() throws {
        let bench = try BalancingBench([:])
        let balancer = try Self.balancer(bench, Self.entries(2) { ([1, 3][$0], 0, .healthy) })
        let turn = balancer.turn
        #expect(turn.shares?.members.elementsEqual(balancer.set.endpoints, by: ===) == true)
        var random = FastRandom(seed: 7)
        func next(_ balancer: ClusterBalancer) -> [Int?] {
            (0..<20).map { _ in balancer.pickAssigned(hash: nil, at: bench.worker.now, using: &random, besides: []) }
        }
        let again = ClusterBalancer(
            balancer.set, of: balancer.cluster, balancer.foreign, near: RegionConfig(), balancer.policy,
            counters: balancer.counters, tickets: nil, tls: bench.worker.tls, turn: turn, loads: balancer.loads,
            rings: nil,
            at: bench.worker.now, using: &bench.worker.random)
        #expect(next(again) == next(balancer))
    }

    @Test(
        "a priority takes 140 % of the share of its endpoints that serve, the next one the rest",
        arguments: [false, true])
    func priorities(isHashed: Bool) throws {
        let bench = try BalancingBench([:], [Self.key: isHashed ? "RingHash" : "RoundRobin"])
        let balancer = try Self.balancer(
            bench, Self.entries(6) { (1, $0 < 4 ? 0 : 1, $0 == 0 ? .unhealthy : .healthy) })
        var found = Self.percent(bench, balancer, isHashed: isHashed)
        #expect(found[0] == 0 && abs(found[1...3].reduce(0, +) - 100) < 0.1 && found[6] == 0, "\(found)")
        Self.eject(bench, balancer, [1])
        found = Self.percent(bench, balancer, isHashed: isHashed)
        #expect(abs(found[2] + found[3] - 70) < 3 && abs(found[4] + found[5] - 30) < 3, "\(found)")
    }

    @Test("hashes meet endpoints by weight, those of each priority by themselves", arguments: ["RingHash", "Maglev"])
    func hashes(strategy: String) async throws {
        let bench = try BalancingBench([:], [Self.key: strategy])
        let entries = Self.entries(5) { ([1, 3, 1, 1, 8][$0], $0 < 2 ? 0 : 1, .healthy) }
        let balancer = try Self.balancer(bench, entries, isHashed: true)
        let ring = try #require(balancer.ring)
        #expect(await eventually { ring.table != nil })
        var found = Self.percent(bench, balancer, isHashed: true)
        #expect(Self.isNear(found, [25, 75, 0, 0, 0, 0], by: 8), "\(found)")
        // Without a hash, anybody is as good.
        found = Self.percent(bench, balancer)
        #expect(Self.isNear(found, [25, 75, 0, 0, 0, 0], by: 8), "\(found)")
        Self.eject(bench, balancer, [0, 1])
        found = Self.percent(bench, balancer, isHashed: true)
        #expect(Self.isNear(found, [0, 0, 10, 10, 80, 0], by: 8), "\(found)")
        var random = FastRandom(seed: 7)
        let one = balancer.pickAssigned(hash: 42, at: bench.worker.now, using: &random, besides: [])
        for _ in 0..<100 {
            #expect(balancer.pickAssigned(hash: 42, at: bench.worker.now, using: &random, besides: []) == one)
        }
    }

    @Test("degraded ones take what the healthy ones of all priorities cannot")
    func degraded() throws {
        let bench = try BalancingBench([:])
        var balancer = try Self.balancer(bench, Self.entries(4) { (1, 0, $0 < 2 ? .degraded : .healthy) })
        #expect(Self.isNear(Self.percent(bench, balancer), [15, 15, 35, 35, 0]))
        balancer = try Self.balancer(bench, Self.entries(5) { (1, $0 == 4 ? 1 : 0, $0 < 2 ? .degraded : .healthy) })
        #expect(Self.isNear(Self.percent(bench, balancer), [0, 0, 35, 35, 30, 0]))
        balancer = try Self.balancer(bench, Self.entries(4) { (1, 0, $0 < 1 ? .degraded : .healthy) })
        #expect(Self.isNear(Self.percent(bench, balancer), [0, 33.3, 33.3, 33.3, 0]))
        balancer = try Self.balancer(bench, Self.entries(2) { _ in (1, 0, .degraded) })
        #expect(Self.isNear(Self.percent(bench, balancer), [50, 50, 0]))
    }

    @Test("where none serves nobody is chosen, unless all are used because so few are left")
    func panic() throws {
        let bench = try BalancingBench([:])
        var balancer = try Self.balancer(bench, Self.entries(2) { _ in (1, 0, .unhealthy) })
        #expect(Self.percent(bench, balancer) == [0, 0, 100])
        balancer = try Self.balancer(bench, Self.entries(2) { _ in (1, 0, .unhealthy) }, panic: 50)
        #expect(Self.isNear(Self.percent(bench, balancer), [50, 50, 0]))
        balancer = try Self.balancer(bench, Self.entries(3) { _ in (1, 0, .healthy) }, panic: 50)
        Self.eject(bench, balancer, [0])
        #expect(Self.isNear(Self.percent(bench, balancer), [0, 50, 50, 0]))
        Self.eject(bench, balancer, [1])
        #expect(Self.isNear(Self.percent(bench, balancer), [33.3, 33.3, 33.3, 0]))
    }

    @Test("those that have failed this request are used again where nobody else of their priority is left")
    func failed() throws {
        let bench = try BalancingBench([:])
        var balancer = try Self.balancer(bench, Self.entries(3) { (1, $0 == 2 ? 1 : 0, .healthy) })
        #expect(Self.isNear(Self.percent(bench, balancer, failed: [0]), [0, 100, 0, 0]))
        #expect(Self.isNear(Self.percent(bench, balancer, failed: [0, 1]), [50, 50, 0, 0]))
        balancer = try Self.balancer(bench, Self.entries(2) { _ in (1, 0, .healthy) })
        #expect(Self.percent(bench, balancer, failed: [0]) == [0, 100, 0])
        #expect(Self.isNear(Self.percent(bench, balancer, failed: [0, 1]), [50, 50, 0]))
        Self.eject(bench, balancer, [0])
        #expect(Self.percent(bench, balancer, failed: [1]) == [0, 100, 0])
    }

    @Test("places with weights, which came with the endpoints, share by these; without, distances do not count")
    func places() throws {
        let bench = try BalancingBench([:])
        let (near, far) = (Locality(region: "north"), Locality(region: "south"))
        let entries = [
            ClusterEntry("rest://10.0.0.1:80", locality: near), ClusterEntry("rest://10.0.0.2:80", locality: far),
        ]
        var balancer = try Self.balancer(bench, entries)
        #expect(Self.isNear(Self.percent(bench, balancer), [50, 50, 0]))
        balancer = try Self.balancer(
            bench, entries, weights: [LocalityWeight(near, weight: 1), LocalityWeight(far, weight: 3)])
        #expect(Self.isNear(Self.percent(bench, balancer), [25, 75, 0]))
    }

    @Test("a place has another weight in each priority; one that is within it is not it")
    func placesOfPriorities() throws {
        let bench = try BalancingBench([:])
        let (north, zone) = (Locality(region: "north"), Locality(region: "north", zone: "a"))
        let south = Locality(region: "south")
        func entry(_ number: Int, _ priority: Int, _ place: Locality) -> ClusterEntry {
            ClusterEntry("rest://10.0.0.\(number):80", priority: priority, locality: place)
        }
        let entries = [
            entry(1, 0, north), entry(2, 0, south), entry(3, 0, zone), entry(4, 1, north), entry(5, 1, south),
        ]
        let weights = [
            LocalityWeight(north, weight: 3, priority: 0), LocalityWeight(south, weight: 1, priority: 0),
            LocalityWeight(north, weight: 1, priority: 1), LocalityWeight(south, weight: 4, priority: 1),
        ]
        var balancer = try Self.balancer(bench, entries, weights: weights)
        var found = Self.percent(bench, balancer)
        #expect(Self.isNear(found, [75, 25, 0, 0, 0, 0], by: 0.1), "\(found)")
        // One of three is left of the first priority: 47 %.
        Self.eject(bench, balancer, [0, 2])
        found = Self.percent(bench, balancer)
        #expect(Self.isNear(found, [0, 46, 0, 10.8, 43.2, 0]), "\(found)")
        Self.eject(bench, balancer, [1])
        found = Self.percent(bench, balancer)
        #expect(Self.isNear(found, [0, 0, 0, 20, 80, 0], by: 0.1), "\(found)")
        balancer = try Self.balancer(bench, entries, weights: [LocalityWeight(north, weight: 1, priority: 1)])
        Self.eject(bench, balancer, [0, 1, 2])
        #expect(Self.percent(bench, balancer) == [0, 0, 0, 100, 0, 0])
    }

    @Test("a virtual host leads to a cluster of the directory; what is known of an endpoint outlasts another weight")
    func virtualHost() throws {
        let bench = try BalancingBench(
            [:],
            [
                "mesh.clusters": "- {name: all, service: cart}",
                "mesh.hosts": "- {name: shop, domains: [shop], routes: [{targets: [{cluster: all}]}]}",
            ])
        let name = Array("shop".utf8)
        let found = bench.worker.rules.hosts.find(name.rawSpan, port: 80)
        let host = try #require(found)
        func balancer(_ weights: [Int]) throws -> ClusterBalancer {
            try bench.assign(Self.entries(2) { (weights[$0], 0, .healthy) })
            return bench.worker.state(of: host).cluster(1, isGRPC: true, bench.worker)
        }
        let first = try balancer([1, 3])
        #expect(first.isAssigned && Self.isNear(Self.percent(bench, first), [25, 75, 0]))
        #expect(try balancer([1, 3]) === first)
        let second = try balancer([3, 1])
        #expect(second !== first && Self.isNear(Self.percent(bench, second), [75, 25, 0]))
        #expect(second.loads.map { ObjectIdentifier($0) } == first.loads.map { ObjectIdentifier($0) })
    }
}
