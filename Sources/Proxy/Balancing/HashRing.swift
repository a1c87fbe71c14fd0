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

    /// Points of a member.
    package static let points = 160

    /// A ring of the members.
    ///
    /// Cost: O(n log n) in points, 12 bytes each; see ``SharedRings``.
    ///
    /// - Parameter pointsPerMember: At least one.
    package init(_ members: [String], pointsPerMember: Int = Self.points) {
        let points = Int32(clamping: max(1, pointsPerMember))
        self.init(members, points: Array(repeating: points, count: members.count))
    }

    /// A ring of the members.
    ///
    /// - Parameter points: How many each of them has; more of them are a larger share.
    package init(_ members: [String], points: [Int32]) {
        self.init(Self.points(of: members.indices.map { $0 }, members, points))
    }

    /// A ring of the members, made out of `old`.
    ///
    /// Cost: linear in the points, and O(n log n) in those of members that `old` does not have.
    ///
    /// - Parameter places: The index among `members` of each member of `old`; -1 for one that has gone, or has another number
    ///   of points. Each index at most once.
    package init(_ members: [String], points: [Int32], upon old: HashRing, places: [Int32]) {
        var isKnown = [Bool](repeating: false, count: members.count)
        for place in places where place >= 0 { isKnown[Int(place)] = true }
        let added = Self.points(of: members.indices.filter { !isKnown[$0] }, members, points)
        var points: [Point] = []
        points.reserveCapacity(old.hashes.count + added.count)
        var next = 0
        for index in old.hashes.indices {
            let point = (hash: old.hashes[index], owner: places[Int(old.owners[index])])
            if point.owner < 0 { continue }
            while next < added.count, added[next] < point {
                points.append(added[next])
                next += 1
            }
            points.append(point)
        }
        points += added[next...]
        self.init(points)
    }

    private typealias Point = (hash: UInt64, owner: Int32)

    private init(_ points: [Point]) {
        self.hashes = points.map(\.hash)
        self.owners = points.map(\.owner)
    }

    /// The points of some of the members, in order.
    private static func points(of indices: [Int], _ members: [String], _ counts: [Int32]) -> [Point] {
        var points: [Point] = []
        points.reserveCapacity(indices.reduce(0) { $0 + Int(counts[$1]) })
        for index in indices {
            var positions = FastRandom(seed: Self.seed(of: members[index]))
            for _ in 0..<counts[index] { points.append((positions.next(), Int32(truncatingIfNeeded: index))) }
        }
        points.sort { ($0.hash, $0.owner) < ($1.hash, $1.owner) }
        return points
    }

    /// What the points of a member follow from.
    package static func seed(of member: String) -> UInt64 { Self.hash(Array(member.utf8).rawSpan) }

    /// The same as ``pick(_:where:)`` of a ring, without one: as long as it is being made.
    ///
    /// Cost: linear in all points of all members, about a nanosecond each; no allocation.
    ///
    /// - Parameter seed: The ``seed(of:)`` of the member at an index.
    /// - Parameter points: How many that has.
    package static func pick(
        _ hash: UInt64, of count: Int, seed: (Int) -> UInt64, points: (Int) -> Int = { _ in Self.points },
        where isEligible: (Int) -> Bool
    ) -> Int? {
        var nearest: (distance: UInt64, member: Int)?
        for member in 0..<count where isEligible(member) {
            var positions = FastRandom(seed: seed(member))
            for _ in 0..<points(member) {
                let distance = positions.next() &- hash
                if nearest.map({ distance < $0.distance }) ?? true { nearest = (distance, member) }
            }
        }
        return nearest?.member
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
