// SPDX-License-Identifier: Apache-2.0
// request path

/// What hashes of requests are looked up in.
package enum HashTable: Sendable {
    /// See ``HashRing``.
    case ring(HashRing)
    /// See ``MaglevTable``.
    case maglev(MaglevTable)

    /// The first eligible member from where `hash` belongs on; `nil` when none is eligible.
    func pick(_ hash: UInt64, where isEligible: (Int) -> Bool) -> Int? {
        switch self {
        case .ring(let ring): ring.pick(hash, where: isEligible)
        case .maglev(let table): table.pick(hash, where: isEligible)
        }
    }
}

/// How a table of hashes is made.
package enum HashLayout: Sendable, Equatable {
    /// A ring on which each member has so many points.
    case ring(points: [Int32])
    /// A table of so many places, of which each member has its part.
    case maglev(size: Int, parts: [Double])

    /// A ring with ``HashRing/points`` for each member or more, as far as its limits allow.
    ///
    /// - Parameter parts: What each member takes, 1 for the mean; 0 for nothing.
    /// - Parameter least: Points of all members together.
    /// - Parameter most: Likewise.
    static func ring(_ parts: [Double], least: Int, most: Int) -> HashLayout {
        let count = max(1, parts.count)
        let wanted = max(HashRing.points, (least + count - 1) / count)
        let mean = Double(max(1, min(wanted, most / count)))
        return .ring(points: parts.map { $0 > 0 ? max(1, Int32(($0 * mean).rounded())) : 0 })
    }

    /// The points of a member, or what they would be on a ring.
    func points(of member: Int) -> Int {
        switch self {
        case .ring(let points): Int(points[member])
        case .maglev(_, let parts): Int((parts[member] * Double(HashRing.points)).rounded(.up))
        }
    }
}
