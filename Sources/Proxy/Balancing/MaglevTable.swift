// SPDX-License-Identifier: Apache-2.0
// request path

/// Consistent hashing by one look into a table: every member has its part of the places, and when members come or go, few
/// places change their owner.
///
/// Which place belongs to whom follows from the names of all members and their parts, so that all event loops, and all
/// sidecars, agree.
///
/// - Source: Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", 2016; parts as in Envoy.
package struct MaglevTable: Sendable {
    private let owners: [Int32]

    /// Places of a table where nobody says how many.
    package static let usualSize = 65_537

    /// A table of the members.
    ///
    /// Cost: about ten steps for each place, 4 bytes each; see ``SharedRings``.
    ///
    /// - Parameter parts: Of the places, relative to each other; a member whose part is 0 has none.
    /// - Parameter size: A prime number.
    package init(_ members: [String], parts: [Double], size: Int = Self.usualSize) {
        struct Builder {
            let member: Int32
            let part: Double
            /// Where it looks for a place next, and how much farther after that.
            var next: Int
            let step: Int
            /// What it has taken, in parts of the largest.
            var taken = 0.0
        }
        var builders = members.indices.filter { parts[$0] > 0 }.map { index in
            var positions = FastRandom(seed: HashRing.seed(of: members[index]))
            return Builder(
                member: Int32(truncatingIfNeeded: index), part: parts[index],
                next: Int(truncatingIfNeeded: positions.next() % UInt64(size)),
                step: Int(truncatingIfNeeded: positions.next() % UInt64(max(1, size - 1))) + 1)
        }
        // In an order of their own, whatever that of the registry: who is first takes a place before others.
        builders.sort { (members[Int($0.member)], $0.member) < (members[Int($1.member)], $1.member) }
        let largest = builders.lazy.map(\.part).max() ?? 0
        var owners = [Int32](repeating: -1, count: builders.isEmpty ? 0 : size)
        var left = owners.count
        var round = 1.0
        while left > 0 {
            for index in builders.indices where left > 0 {
                // Who has a third of the largest part takes a place in every third round.
                guard round * builders[index].part >= builders[index].taken else { continue }
                builders[index].taken += largest
                var place = builders[index].next
                while owners[place] >= 0 { place = Self.moved(place, by: builders[index].step, size) }
                owners[place] = builders[index].member
                builders[index].next = Self.moved(place, by: builders[index].step, size)
                left -= 1
            }
            round += 1
        }
        self.owners = owners
    }

    private static func moved(_ place: Int, by step: Int, _ size: Int) -> Int {
        let next = place + step
        return next < size ? next : next - size
    }

    /// Places anywhere that are looked at, before those behind each other are.
    private static let probes = 64

    /// The eligible member that `hash` belongs to: the owner of its place, or of the first place of a row that follows from
    /// it, so that what others leave is spread over all.
    ///
    /// Cost: one step for each place that is passed over: all of them when no member is eligible.
    ///
    /// - Returns: An index into the members; `nil` when none is eligible.
    package func pick(_ hash: UInt64, where isEligible: (Int) -> Bool) -> Int? {
        guard !self.owners.isEmpty else { return nil }
        let size = UInt64(self.owners.count)
        let start = Int(truncatingIfNeeded: hash % size)
        let own = Int(self.owners[start])
        if isEligible(own) { return own }
        var row = FastRandom(seed: hash)
        for _ in 0..<Self.probes {
            let owner = Int(self.owners[Int(truncatingIfNeeded: row.next() % size)])
            if isEligible(owner) { return owner }
        }
        // Hardly anybody is left.
        for step in self.owners.indices {
            let place = start + step
            let owner = Int(self.owners[place < self.owners.count ? place : place - self.owners.count])
            if isEligible(owner) { return owner }
        }
        return nil
    }
}
