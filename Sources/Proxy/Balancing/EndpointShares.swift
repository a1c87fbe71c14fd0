// SPDX-License-Identifier: Apache-2.0
// request path

package import Common

/// Weights and priorities of the endpoints of a cluster, where they are not all the same.
///
/// An endpoint of a lower priority is used in the measure in which those before it are missing: 140 % of the share of a
/// priority's endpoints that may be chosen, up to all, is the share of the requests that it takes; the rest goes on.
///
/// Cost: a pass over the endpoints for each choice, so it is for clusters that are written down.
///
/// - Source: priority levels and overprovisioning of Envoy's load balancing.
package struct EndpointShares: Sendable {
    /// The part of its priority's requests that each endpoint takes.
    private let weights: [Int]
    /// Which priority each endpoint has, without gaps.
    private let levels: [Int]
    private let levelCount: Int

    /// How much more than its share of them a priority's endpoints are trusted with, in percent.
    private static let overprovisioning = 140

    /// Of `entries` in their order; `nil` when they are all the same.
    package init?(_ entries: [ClusterEntry]) {
        let isUniform = entries.allSatisfy { $0.weight == entries.first?.weight }
        let priorities = Set(entries.map(\.priority)).sorted()
        guard !isUniform || priorities.count > 1 else { return nil }
        self.weights = entries.map(\.weight)
        self.levels = entries.map { priorities.firstIndex(of: $0.priority) ?? 0 }
        self.levelCount = priorities.count
    }

    /// An endpoint by weight; `nil` when none may be chosen.
    ///
    /// - Parameter isEligible: Whether the endpoint at an index may be chosen now.
    package func pick(using random: inout FastRandom, where isEligible: (Int) -> Bool) -> Int? {
        let level = self.level(using: &random, isEligible)
        var total = 0
        for index in self.weights.indices where self.levels[index] == level && isEligible(index) {
            total += self.weights[index]
        }
        guard total > 0 else { return nil }
        var left = Int(random.next(upperBound: UInt(total)))
        for index in self.weights.indices where self.levels[index] == level && isEligible(index) {
            left -= self.weights[index]
            if left < 0 { return index }
        }
        return nil
    }

    /// The priority that takes a request.
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

    /// Whether all priorities together could not take every request.
    func isShort(_ isEligible: (Int) -> Bool) -> Bool {
        var total = 0
        for level in 0..<self.levelCount { total += self.health(of: level, isEligible) }
        return total < 100
    }

    /// How much of all requests a priority could take, in percent.
    private func health(of level: Int, _ isEligible: (Int) -> Bool) -> Int {
        var (all, eligible) = (0, 0)
        for index in self.levels.indices where self.levels[index] == level {
            all += 1
            if isEligible(index) { eligible += 1 }
        }
        // One of very many is still better than none.
        return eligible == 0 ? 0 : max(1, min(100, eligible * Self.overprovisioning / all))
    }
}
