// SPDX-License-Identifier: Apache-2.0
// request path

package import Common

/// Weights, priorities and distances of the endpoints of a cluster, where they are not all the same.
///
/// An endpoint of a lower priority, or one that is farther away, is used in the measure in which those before it are
/// missing: 140 % of the share of a level's endpoints that may be chosen, up to all, is the share of the requests that it
/// takes; the rest goes on. Degraded endpoints take in the same way what the healthy ones of all levels leave. Where places
/// have weights, each takes its part of a priority's requests in the same measure. Which level takes a request is chance;
/// places, and the endpoints of one, take turns.
///
/// Cost: a pass over the endpoints for each choice, and one for each place.
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
    private let overprovisioning: Int

    /// Of `entries` in their order; `nil` when they are all the same.
    ///
    /// - Parameter own: Where this process is; `nil` where distances do not count.
    /// - Parameter localities: The weights of places, which take the place of distances.
    /// - Parameter overprovisioning: How much more than its share of them a level's endpoints are trusted with, in percent.
    package init?(
        _ entries: [ClusterEntry], near own: RegionConfig?, localities: [LocalityWeight] = [],
        overprovisioning: Int = EndpointSet.usualOverprovisioning
    ) {
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
        self.overprovisioning = overprovisioning
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
                exact.firstIndex { $0.holds(for: entry) } ?? exact.count
            }
        self.placeWeights = isNearFirst ? [] : exact.map(\.weight) + [0]
    }

    /// Whose turn it is: what each event loop keeps beside the shares.
    package struct Turn: Sendable {
        /// Among the endpoints of a tier, or of a place within one.
        fileprivate var members: WeightedTurn
        /// Among the places of a tier.
        fileprivate var places: WeightedTurn
    }

    /// A turn that begins.
    package func turn(using random: inout FastRandom) -> Turn {
        let places = (0..<self.tierCount).flatMap { _ in self.placeWeights }
        return Turn(members: WeightedTurn(self.weights, using: &random), places: WeightedTurn(places, using: &random))
    }

    /// Whether a turn of the same endpoints, which had other weights perhaps, goes on with these.
    func goesOn(_ turn: Turn) -> Bool {
        turn.members.count == self.weights.count && turn.places.count == self.tierCount * self.placeWeights.count
    }

    /// An endpoint in turn, by weight; `nil` when none may be chosen.
    ///
    /// - Parameter isEligible: Whether the endpoint at an index may be chosen now.
    package func pick(_ turn: inout Turn, using random: inout FastRandom, where isEligible: (Int) -> Bool) -> Int? {
        self.pick(from: self.tier(using: &random, isEligible), &turn, where: isEligible)
    }

    /// An endpoint of a tier in turn, by weight; `nil` when none of it may be chosen.
    ///
    /// - Parameter load: What the weight of the endpoint at an index is divided by.
    func pick(
        from tier: Int, _ turn: inout Turn, where isEligible: (Int) -> Bool, load: (Int) -> Double = { _ in 1 }
    ) -> Int? {
        let place = self.place(of: tier, &turn, isEligible)
        return turn.members.pick { index in
            self.isMeant(tier, place, index) && isEligible(index) ? Double(self.weights[index]) / load(index) : 0
        }
    }

    /// An endpoint of a tier by chance, in the measure of the weights; `nil` when none of it may be chosen.
    ///
    /// - Parameter place: The place within the tier, see ``place(of:_:_:)``.
    func draw(
        from tier: Int, in place: Int?, using random: inout FastRandom, where isEligible: (Int) -> Bool
    ) -> Int? {
        self.draw(using: &random) { self.isMeant(tier, place, $0) && isEligible($0) }
    }

    @inline(__always)
    private func isMeant(_ tier: Int, _ place: Int?, _ index: Int) -> Bool {
        self.isIn(tier, index) && (place.map { self.places[index] == $0 } ?? true)
    }

    /// What of the requests of its tier each endpoint takes, 1 for the mean; for tables of hashes.
    var partsOfTiers: [Double] {
        struct Group: Hashable {
            let tier: Int
            let place: Int
        }
        let tiers = self.weights.indices.map { index in
            self.levels[index] + (self.isDegraded.isEmpty || !self.isDegraded[index] ? 0 : self.levelCount)
        }
        let groups = tiers.enumerated().map { Group(tier: $1, place: self.places.isEmpty ? 0 : self.places[$0]) }
        var sums: [Group: Double] = [:]
        for (index, group) in groups.enumerated() { sums[group, default: 0] += Double(self.weights[index]) }
        // Of its place's part, where places have weights.
        var parts = groups.enumerated().map { index, group in
            let part = Double(self.weights[index])
            return self.places.isEmpty
                ? part : part / (sums[group] ?? 1) * Double(self.placeWeights[group.place])
        }
        var totals: [Int: (sum: Double, count: Double)] = [:]
        for (index, tier) in tiers.enumerated() {
            let total = totals[tier] ?? (0, 0)
            totals[tier] = (total.sum + parts[index], total.count + 1)
        }
        for (index, tier) in tiers.enumerated() {
            guard let total = totals[tier], total.sum > 0 else { continue }
            parts[index] *= total.count / total.sum
        }
        return parts
    }

    /// Whether all endpoints have one weight.
    var areWeightsEven: Bool { self.weights.allSatisfy { $0 == self.weights.first } }

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

    /// The place within a tier whose turn it is: by its weight, as far as its endpoints are there; `nil` where places do not
    /// count.
    func place(of tier: Int, _ turn: inout Turn, _ isEligible: (Int) -> Bool) -> Int? {
        guard !self.places.isEmpty else { return nil }
        let count = self.placeWeights.count
        let chosen = turn.places.pick { index in
            index / count == tier ? Double(self.weight(of: index % count, in: tier, isEligible)) : 0
        }
        // Nobody is in this one.
        return chosen.map { $0 % count } ?? -1
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
        return eligible == 0 ? 0 : max(1, min(100, eligible * self.overprovisioning / all))
    }
}
