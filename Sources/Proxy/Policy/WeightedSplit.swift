// SPDX-License-Identifier: Apache-2.0
// request path

/// Takes the members of a set in turn, as often as their weights say, by smooth weighted round robin.
///
/// Exact over every `sum / gcd` calls in a row, whichever is the first; a member's turns are spread out. The first call
/// takes the heaviest member, the first of them when several are. Pure; the caller keeps one for each set.
///
/// Cost: O(n) in members, no allocation.
///
/// - Source: go-chassis; nginx's smooth weighted balancing for the method.
package struct WeightedSplit: Sendable {
    private struct Member {
        let weight: Int
        var credit = 0
    }

    private var members: [Member]
    private let total: Int

    /// A split at its beginning.
    ///
    /// - Parameter weights: Relative shares, 0…1,000,000, and one at least; all zero counts as all equal.
    package init(_ weights: [Int]) {
        precondition(!weights.isEmpty, "a split needs a member")
        let weights = weights.map { min(max($0, 0), 1_000_000) }
        let isEven = weights.allSatisfy { $0 == 0 }
        self.members = weights.map { Member(weight: isEven ? 1 : $0) }
        self.total = self.members.reduce(0) { $0 &+ $1.weight }
    }

    /// An index into the weights.
    package mutating func next() -> Int {
        var best = 0
        var bestCredit = Int.min
        for index in self.members.indices {
            let credit = self.members[index].credit &+ self.members[index].weight
            self.members[index].credit = credit
            if credit > bestCredit { (best, bestCredit) = (index, credit) }
        }
        self.members[best].credit = bestCredit &- self.total
        return best
    }
}
