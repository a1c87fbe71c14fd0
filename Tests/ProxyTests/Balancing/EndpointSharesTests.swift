// SPDX-License-Identifier: Apache-2.0

import Common
import Proxy
import Testing

@Suite struct EndpointSharesTests {
    /// Shares of endpoints by weight and priority.
    private static func shares(_ entries: [(weight: Int, priority: Int)]) -> EndpointShares? {
        EndpointShares(
            entries.enumerated().map { index, entry in
                ClusterEntry("rest://10.0.0.\(index + 1):80", weight: entry.weight, priority: entry.priority)
            }, near: RegionConfig())
    }

    private static let own = {
        var own = RegionConfig()
        (own.name, own.zone, own.subzone) = ("north", "a", "1")
        return own
    }()

    /// Shares of endpoints by where they are.
    private static func shares(
        _ places: [Locality?], weights: [LocalityWeight] = [], priorities: [Int] = []
    ) -> EndpointShares? {
        EndpointShares(
            places.enumerated().map { index, place in
                ClusterEntry(
                    "rest://10.0.0.\(index + 1):80", priority: priorities.isEmpty ? 0 : priorities[index],
                    locality: place)
            }, near: Self.own, localities: weights)
    }

    private static let near = Locality(region: "north", zone: "a", subzone: "1")
    private static let beside = Locality(region: "north", zone: "a", subzone: "2")
    private static let region = Locality(region: "north", zone: "b")
    private static let far = Locality(region: "south", zone: "a")

    /// How many of 10,000 picks each endpoint gets, in percent.
    private static func percent(
        _ shares: EndpointShares, of count: Int, where isEligible: (Int) -> Bool = { _ in true }
    ) -> [Double] {
        var random = FastRandom(seed: 7)
        var turn = shares.turn(using: &random)
        var counts = [Int](repeating: 0, count: count)
        for _ in 0..<10_000 {
            if let index = shares.pick(&turn, using: &random, where: isEligible) { counts[index] += 1 }
        }
        return counts.map { Double($0) / 100 }
    }

    private static func isNear(_ found: [Double], _ expected: [Double]) -> Bool {
        found.count == expected.count && zip(found, expected).allSatisfy { abs($0 - $1) <= 2 && ($1 > 0 || $0 == 0) }
    }

    @Test("endpoints that are all the same need none")
    func uniform() {
        #expect(Self.shares([(3, 2), (3, 2)]) == nil)
        #expect(Self.shares([]) == nil)
    }

    @Test(
        "a control plane says how much more than its share a priority takes",
        arguments: [(100, 50.0), (180, 90), (300, 100)])
    func overprovisioning(percent: Int, first: Double) throws {
        let entries = (0..<8).map { ClusterEntry("rest://10.0.0.\($0 + 1):80", priority: $0 < 4 ? 0 : 1) }
        let shares = try #require(EndpointShares(entries, near: nil, overprovisioning: percent))
        let found = Self.percent(shares, of: 8) { $0 >= 2 }
        #expect(abs(found[2] + found[3] - first) <= 2)
    }

    @Test("weights are relative to the sum of those that may be chosen")
    func weights() throws {
        let shares = try #require(Self.shares([(1, 0), (3, 0), (6, 0)]))
        #expect(Self.isNear(Self.percent(shares, of: 3), [10, 30, 60]))
        #expect(Self.isNear(Self.percent(shares, of: 3) { $0 != 2 }, [25, 75, 0]))
    }

    @Test(
        "a priority takes 140 % of the share of its endpoints that are there, and the next one takes the rest",
        arguments: [
            (4, 100), (3, 100), (2, 70), (1, 35), (0, 0),
        ])
    func priorities(left: Int, first: Double) throws {
        let shares = try #require(Self.shares((0..<8).map { (1, $0 < 4 ? 0 : 5) }))
        let found = Self.percent(shares, of: 8) { $0 >= 4 || $0 < left }
        let own = (0..<4).map { $0 < left ? first / Double(left) : 0 }
        let next = (0..<4).map { _ in (100 - first) / 4 }
        #expect(Self.isNear(found, own + next), "\(found)")
    }

    @Test("near endpoints take all, and others follow in the measure in which they are missing")
    func distances() throws {
        let places = [Self.far, Self.region, Self.beside, Self.near, Self.near, nil]
        let shares = try #require(Self.shares(places))
        #expect(Self.isNear(Self.percent(shares, of: 6), [0, 0, 0, 50, 50, 0]))
        #expect(Self.isNear(Self.percent(shares, of: 6) { $0 != 3 }, [0, 0, 30, 0, 70, 0]))
        #expect(Self.isNear(Self.percent(shares, of: 6) { $0 < 3 }, [0, 0, 100, 0, 0, 0]))
        #expect(Self.isNear(Self.percent(shares, of: 6) { $0 < 2 }, [0, 100, 0, 0, 0, 0]))
        // What is said to be elsewhere is as far as what is nowhere.
        #expect(Self.isNear(Self.percent(shares, of: 6) { $0 == 0 || $0 == 5 }, [50, 0, 0, 0, 0, 50]))
        #expect(Self.shares([Self.far, nil]) == nil && Self.shares([Self.near, Self.near]) == nil)
    }

    @Test("a priority counts before the distance")
    func prioritiesBeforeDistances() throws {
        let shares = try #require(Self.shares([Self.near, Self.far], priorities: [1, 0]))
        #expect(Self.isNear(Self.percent(shares, of: 2), [0, 100]))
        #expect(Self.isNear(Self.percent(shares, of: 2) { $0 == 0 }, [100, 0]))
    }

    @Test("places with weights share by these, as far as their endpoints are there, whatever the distance")
    func places() throws {
        let weights = [
            LocalityWeight(Locality(region: "north"), weight: 3), LocalityWeight(Self.far, weight: 1),
            LocalityWeight(Self.near, weight: 4),
        ]
        let shares = try #require(
            Self.shares([Self.near, Self.region, Self.region, Self.far, Self.far, nil], weights: weights))
        #expect(Self.isNear(Self.percent(shares, of: 6), [50, 18.75, 18.75, 6.25, 6.25, 0]))
        // One of two is left: 70 % of the place's weight.
        let left = Self.percent(shares, of: 6) { $0 != 1 }
        #expect(Self.isNear(left, [56.3, 0, 29.6, 7, 7, 0]), "\(left)")
        #expect(Self.isNear(Self.percent(shares, of: 6) { $0 > 2 }, [0, 0, 0, 50, 50, 0]))
        var random = FastRandom(seed: 7)
        var turn = shares.turn(using: &random)
        #expect(shares.pick(&turn, using: &random) { $0 == 5 } == nil)
    }

    @Test("where all priorities together could not take everything, they share in the same measure")
    func scarcity() throws {
        let shares = try #require(Self.shares((0..<20).map { (1, $0 < 10 ? 0 : 1) }))
        // 1 of 10 is good for 14 %, 3 of 10 for 42 %.
        let found = Self.percent(shares, of: 20) { [0, 10, 11, 12].contains($0) }
        #expect(abs(found[0] - 25) < 2 && abs(found[10...12].reduce(0, +) - 75) < 2, "\(found)")
    }

    @Test("nobody is chosen where nobody may be, and the only one of very many is")
    func extremes() throws {
        let shares = try #require(Self.shares((0..<400).map { (1, $0 < 200 ? 0 : 1) }))
        var random = FastRandom(seed: 7)
        var turn = shares.turn(using: &random)
        #expect(shares.pick(&turn, using: &random) { _ in false } == nil)
        #expect(shares.pick(&turn, using: &random) { $0 == 399 } == 399)
    }
}
