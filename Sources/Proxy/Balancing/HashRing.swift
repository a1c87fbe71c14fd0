// SPDX-License-Identifier: Apache-2.0
// request path

import Common

/// Consistent hashing: the same hash goes to the same member, and when members come or go, few hashes move.
///
/// Where a member stands depends on its name only, so that all event loops, and all sidecars, agree. With 160 points a
/// member's share is within about a fifth of the mean.
///
/// - Source: Karger et al., "Consistent Hashing and Random Trees", 1997; 160 points as in Ketama.
package struct HashRing: Sendable {
    private let hashes: [UInt64]
    private let owners: [Int32]

    /// A ring of the members; made when the set changes.
    ///
    /// Cost: O(n log n) in points, 12 bytes each.
    ///
    /// - Parameter pointsPerMember: At least one.
    package init(_ members: [String], pointsPerMember: Int = 160) {
        var points: [(hash: UInt64, owner: Int32)] = []
        points.reserveCapacity(members.count * max(1, pointsPerMember))
        for (owner, member) in members.enumerated() {
            let name = Array(member.utf8)
            var positions = FastRandom(seed: Self.hash(name.rawSpan))
            for _ in 0..<max(1, pointsPerMember) { points.append((positions.next(), Int32(truncatingIfNeeded: owner))) }
        }
        points.sort { ($0.hash, $0.owner) < ($1.hash, $1.owner) }
        self.hashes = points.map(\.hash)
        self.owners = points.map(\.owner)
    }

    /// The member that `hash` belongs to.
    ///
    /// Cost: O(log n) in points, no allocation.
    ///
    /// - Returns: An index into the members; `nil` when there are none.
    package func pick(_ hash: UInt64) -> Int? { self.pick(hash) { _ in true } }

    /// The first eligible member from the place of `hash` on.
    ///
    /// Cost: O(log n) in points, and one more step for each point that is passed over: all of them when no member is
    /// eligible.
    ///
    /// - Returns: An index into the members; `nil` when none is eligible.
    package func pick(_ hash: UInt64, where isEligible: (Int) -> Bool) -> Int? {
        let start = self.firstPoint(from: hash)
        for step in self.owners.indices {
            let point = start + step
            let owner = Int(self.owners[point < self.owners.count ? point : point - self.owners.count])
            if isEligible(owner) { return owner }
        }
        return nil
    }

    /// The first point at or after `hash`, or the number of points when there is none.
    private func firstPoint(from hash: UInt64) -> Int {
        var low = 0
        var high = self.hashes.count
        while low < high {
            let middle = (low + high) / 2
            if self.hashes[middle] < hash { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// A hash of `bytes`, the same in every process.
    ///
    /// Spreads well, but somebody who wants collisions finds them. One multiplication for eight bytes.
    package static func hash(_ bytes: RawSpan) -> UInt64 {
        var hash = UInt64(bytes.byteCount) &+ 0x9e37_79b9_7f4a_7c15
        var offset = 0
        while offset &+ 8 <= bytes.byteCount {
            hash = Self.fold(hash, bytes.word(at: offset))
            offset &+= 8
        }
        var rest: UInt64 = 0
        while offset < bytes.byteCount {
            rest = rest << 8 | UInt64(bytes.byte(at: offset))
            offset &+= 1
        }
        return FastRandom.mix(Self.fold(hash, rest))
    }

    /// One to one in `word`, so texts that differ in one place only never collide.
    private static func fold(_ hash: UInt64, _ word: UInt64) -> UInt64 {
        let product = (hash ^ word) &* 0xd6e8_feb8_6659_fd93
        return product ^ (product >> 32)
    }
}
