// SPDX-License-Identifier: Apache-2.0
// request path

package import Common

/// Weights, priorities and distances of the endpoints of a cluster, where they are not all the same.
///
/// An endpoint of a lower priority, or one that is farther away, is used in the measure in which those before it are
/// missing: 140 % of the share of a level's endpoints that may be chosen, up to all, is the share of the requests that it
/// takes; the rest goes on. Where places have weights, each takes its part of a priority's requests in the same measure.
///
/// Cost: a pass over the endpoints for each choice, so it is for clusters that are written down.
///
/// - Source: priority levels, overprovisioning and locality weights of Envoy's load balancing.
package struct EndpointShares: Sendable {
    /// The part of its level's requests, or its place's, that each endpoint takes.
    private let weights: [Int]
    /// Which level each endpoint has, without gaps: its priority, then how far it is.
    private let levels: [Int]
    private let levelCount: Int
    /// Which place each endpoint is in; empty where places have no weights.
    private let places: [Int]
    /// By place.
    private let placeWeights: [Int]

    /// How much more than its share of them a level's endpoints are trusted with, in percent.
    private static let overprovisioning = 140

    /// Of `entries` in their order; `nil` when they are all the same.
    ///
    /// - Parameter own: Where this process is.
    /// - Parameter localities: The weights of places, which take the place of distances.
    package init?(_ entries: [ClusterEntry], near own: RegionConfig, localities: [LocalityWeight] = []) {
        struct Level: Hashable, Comparable {
            let priority: Int
            let distance: Int

            static func < (left: Self, right: Self) -> Bool {
                (left.priority, left.distance) < (right.priority, right.distance)
            }
        }
        let isNearFirst = localities.isEmpty
        let found = entries.map { entry in
            Level(
                priority: entry.priority, distance: isNearFirst ? entry.locality?.distance(from: own) ?? 3 : 0)
        }
        let levels = Set(found).sorted()
        let isUniform = entries.allSatisfy { $0.weight == entries.first?.weight }
        guard !isUniform || levels.count > 1 || !isNearFirst else { return nil }
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
        let level = self.level(using: &random, isEligible)
        guard !self.places.isEmpty else {
            return self.draw(using: &random) { self.levels[$0] == level && isEligible($0) }
        }
        let place = self.place(of: level, using: &random, isEligible)
        return self.draw(using: &random) { index in
            self.levels[index] == level && self.places[index] == place && isEligible(index)
        }
    }

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

    /// The priority and distance that takes a request.
    private func level(using random: inout FastRandom, _ isEligible: (Int) -> Bool) -> Int {
        if self.levelCount == 1 { return 0 }
        var total = 0
        for level in 0..<self.levelCount { total += self.health(of: level, isEligible) }
        total = min(total, 100)
        guard total > 0 else { return 0 }
        var draw = Int(random.next(upperBound: UInt(total)))
        for level in 0..<self.levelCount {
            draw -= self.health(of: level, isEligible)
            if draw < 0 { return level }
        }
        return 0
    }

    /// The place within a level that takes a request: by its weight, as far as its endpoints are there.
    private func place(of level: Int, using random: inout FastRandom, _ isEligible: (Int) -> Bool) -> Int {
        var total = 0
        for place in self.placeWeights.indices { total += self.weight(of: place, in: level, isEligible) }
        guard total > 0 else { return 0 }
        var draw = Int(random.next(upperBound: UInt(total)))
        for place in self.placeWeights.indices {
            draw -= self.weight(of: place, in: level, isEligible)
            if draw < 0 { return place }
        }
        return 0
    }

    /// In hundredths of what is written.
    private func weight(of place: Int, in level: Int, _ isEligible: (Int) -> Bool) -> Int {
        guard self.placeWeights[place] > 0 else { return 0 }
        return self.placeWeights[place]
            * self.health(isEligible) { self.levels[$0] == level && self.places[$0] == place }
    }

    /// Whether all levels together could not take every request.
    func isShort(_ isEligible: (Int) -> Bool) -> Bool {
        var total = 0
        for level in 0..<self.levelCount { total += self.health(of: level, isEligible) }
        return total < 100
    }

    /// How much of all requests a level could take, in percent.
    private func health(of level: Int, _ isEligible: (Int) -> Bool) -> Int {
        self.health(isEligible) { self.levels[$0] == level }
    }

    @inline(__always)
    private func health(_ isEligible: (Int) -> Bool, among isMeant: (Int) -> Bool) -> Int {
        var (all, eligible) = (0, 0)
        for index in self.levels.indices where isMeant(index) {
            all += 1
            if isEligible(index) { eligible += 1 }
        }
        // One of very many is still better than none.
        return eligible == 0 ? 0 : max(1, min(100, eligible * Self.overprovisioning / all))
    }
}
