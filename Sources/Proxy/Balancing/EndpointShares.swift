// SPDX-License-Identifier: Apache-2.0
// request path

package import Common

/// Weights, priorities and distances of the endpoints of a cluster, where they are not all the same.
///
/// An endpoint of a lower priority, or one that is farther away, is used in the measure in which those before it are
/// missing: 140 % of the share of a level's endpoints that may be chosen, up to all, is the share of the requests that it
/// takes; the rest goes on. Degraded endpoints take in the same way what the healthy ones of all levels leave. Where places
/// have weights, each takes its part of a priority's requests in the same measure.
///
/// Cost: a pass over the endpoints for each choice.
///
/// - Source: priority levels, overprovisioning and locality weights of Envoy's load balancing.
package struct EndpointShares: Sendable {
    /// The part of its level's requests, or its place's, that each endpoint takes.
    private let weights: [Int]
    /// Which level each endpoint has, without gaps: its priority, then how far it is.
    private let levels: [Int]
    private let levelCount: Int
    /// Which endpoints are used only for what others cannot take; empty where there are none.
    private let isDegraded: [Bool]
    /// Which place each endpoint is in; empty where places have no weights.
    private let places: [Int]
    /// By place.
    private let placeWeights: [Int]

    /// How much more than its share of them a level's endpoints are trusted with, in percent.
    private static let overprovisioning = 140

    /// Of `entries` in their order; `nil` when they are all the same.
    ///
    /// - Parameter own: Where this process is; `nil` where distances do not count.
    /// - Parameter localities: The weights of places, which take the place of distances.
    package init?(_ entries: [ClusterEntry], near own: RegionConfig?, localities: [LocalityWeight] = []) {
        struct Level: Hashable, Comparable {
            let priority: Int
            let distance: Int

            static func < (left: Self, right: Self) -> Bool {
                (left.priority, left.distance) < (right.priority, right.distance)
            }
        }
        let isNearFirst = localities.isEmpty
        let found = entries.map { entry in
            let distance = own.map { entry.locality?.distance(from: $0) ?? 3 }
            return Level(priority: entry.priority, distance: isNearFirst ? distance ?? 0 : 0)
        }
        let isDegraded = entries.map { $0.condition == .degraded }
        let levels = Set(found).sorted()
        let isUniform = entries.allSatisfy { $0.weight == entries.first?.weight }
        let hasDegraded = isDegraded.contains(true)
        guard !isUniform || levels.count > 1 || !isNearFirst || hasDegraded else { return nil }
        self.isDegraded = hasDegraded ? isDegraded : []
        self.weights = entries.map(\.weight)
        self.levels = found.map { levels.firstIndex(of: $0) ?? 0 }
        self.levelCount = levels.count
        // The most exact of those that an endpoint is within; in none it gets nothing.
        let exact = localities.sorted { $0.locality.description.count > $1.locality.description.count }
        self.places =
            isNearFirst
            ? []
            : entries.map { entry in
                guard let place = entry.locality else { return exact.count }
                return exact.firstIndex { place.isWithin($0.locality) } ?? exact.count
            }
        self.placeWeights = isNearFirst ? [] : exact.map(\.weight) + [0]
    }

    /// An endpoint by weight; `nil` when none may be chosen.
    ///
    /// - Parameter isEligible: Whether the endpoint at an index may be chosen now.
    package func pick(using random: inout FastRandom, where isEligible: (Int) -> Bool) -> Int? {
        self.pick(from: self.tier(using: &random, isEligible), using: &random, where: isEligible)
    }

    /// An endpoint of a tier by weight; `nil` when none of it may be chosen.
    func pick(from tier: Int, using random: inout FastRandom, where isEligible: (Int) -> Bool) -> Int? {
        guard !self.places.isEmpty else {
            return self.draw(using: &random) { self.isIn(tier, $0) && isEligible($0) }
        }
        let place = self.place(of: tier, using: &random, isEligible)
        return self.draw(using: &random) { self.isIn(tier, $0) && self.places[$0] == place && isEligible($0) }
    }

    /// The part of its level's requests that an endpoint takes.
    func weight(of index: Int) -> Int { self.weights[index] }

    /// Whether an endpoint is in a tier.
    ///
    /// - Parameter tier: A level, for its healthy endpoints; behind all levels each once more, for its degraded ones.
    @inline(__always)
    func isIn(_ tier: Int, _ index: Int) -> Bool {
        if self.isDegraded.isEmpty { return self.levels[index] == tier }
        let isMeant = self.isDegraded[index] == (tier >= self.levelCount)
        return isMeant && self.levels[index] == tier % self.levelCount
    }

    private var tierCount: Int { self.isDegraded.isEmpty ? self.levelCount : 2 * self.levelCount }

    @inline(__always)
    private func draw(using random: inout FastRandom, among isMeant: (Int) -> Bool) -> Int? {
        var total = 0
        for index in self.weights.indices where isMeant(index) { total += self.weights[index] }
        guard total > 0 else { return nil }
        var left = Int(random.next(upperBound: UInt(total)))
        for index in self.weights.indices where isMeant(index) {
            left -= self.weights[index]
            if left < 0 { return index }
        }
        return nil
    }

    /// The priority and distance that takes a request, and whether its degraded endpoints do.
    func tier(using random: inout FastRandom, _ isEligible: (Int) -> Bool) -> Int {
        let count = self.tierCount
        if count == 1 { return 0 }
        var total = 0
        for tier in 0..<count { total += self.health(of: tier, isEligible) }
        total = min(total, 100)
        guard total > 0 else { return 0 }
        var draw = Int(random.next(upperBound: UInt(total)))
        for tier in 0..<count {
            draw -= self.health(of: tier, isEligible)
            if draw < 0 { return tier }
        }
        return 0
    }

    /// The place within a tier that takes a request: by its weight, as far as its endpoints are there.
    private func place(of tier: Int, using random: inout FastRandom, _ isEligible: (Int) -> Bool) -> Int {
        var total = 0
        for place in self.placeWeights.indices { total += self.weight(of: place, in: tier, isEligible) }
        guard total > 0 else { return 0 }
        var draw = Int(random.next(upperBound: UInt(total)))
        for place in self.placeWeights.indices {
            draw -= self.weight(of: place, in: tier, isEligible)
            if draw < 0 { return place }
        }
        return 0
    }

    /// In hundredths of what is written.
    private func weight(of place: Int, in tier: Int, _ isEligible: (Int) -> Bool) -> Int {
        guard self.placeWeights[place] > 0 else { return 0 }
        let level = tier % self.levelCount
        return self.placeWeights[place]
            * self.health { index in
                self.levels[index] == level && self.places[index] == place
            } where: {
                self.isIn(tier, $0) && isEligible($0)
            }
    }

    /// Whether all levels together could not take every request.
    func isShort(_ isEligible: (Int) -> Bool) -> Bool {
        var total = 0
        for tier in 0..<self.tierCount { total += self.health(of: tier, isEligible) }
        return total < 100
    }

    /// How much of all requests a tier could take, in percent: of its level's endpoints, healthy or not.
    private func health(of tier: Int, _ isEligible: (Int) -> Bool) -> Int {
        let level = tier % self.levelCount
        return self.health {
            self.levels[$0] == level
        } where: {
            self.isIn(tier, $0) && isEligible($0)
        }
    }

    @inline(__always)
    private func health(among isMeant: (Int) -> Bool, where isEligible: (Int) -> Bool) -> Int {
        var (all, eligible) = (0, 0)
        for index in self.levels.indices where isMeant(index) {
            all += 1
            if isEligible(index) { eligible += 1 }
        }
        // One of very many is still better than none.
        return eligible == 0 ? 0 : max(1, min(100, eligible * Self.overprovisioning / all))
    }
}
