// SPDX-License-Identifier: Apache-2.0

package import Common
import Synchronization

/// The rings of a service's instances, one for each set that requests choose from; all event loops share them.
///
/// A ring is made off the loops, out of the one before it as far as their instances are the same. Until it is there, a loop
/// finds the same instance in a longer way: see ``HashRing/pick(_:of:seed:where:)``.
package final class SharedRings: Sendable {
    private let rings = Mutex<[Int: SharedRing]>([:])

    /// None yet.
    package init() {}

    /// The ring of `members`, which is being made when nobody has asked for it before.
    ///
    /// - Parameter place: Which of the service's sets they are; the ring there before is made use of.
    package func ring(of members: [Endpoint], at place: Int) -> SharedRing {
        self.rings.withLock { rings in
            let old = rings[place]
            if let old, old.members.elementsEqual(members, by: ===) { return old }
            let ring = SharedRing(members)
            rings[place] = ring
            Task { ring.make(upon: old) }
            return ring
        }
    }
}

/// A ring that is there, or will be soon.
package final class SharedRing: Sendable {
    /// The endpoints on it.
    package let members: [Endpoint]
    private let made = Mutex<HashRing?>(nil)
    private let isMade = Atomic<Bool>(false)

    fileprivate init(_ members: [Endpoint]) { self.members = members }

    /// The ring; `nil` as long as it is being made.
    package var ring: HashRing? {
        guard self.isMade.load(ordering: .acquiring) else { return nil }
        return self.made.withLock { $0 }
    }

    fileprivate func make(upon old: SharedRing?) {
        let names = self.members.map(\.description)
        let ring: HashRing
        if let old, let before = old.ring, let places = self.places(of: old.members) {
            ring = HashRing(names, upon: before, places: places)
        } else {
            ring = HashRing(names)
        }
        self.made.withLock { $0 = ring }
        self.isMade.store(true, ordering: .releasing)
    }

    /// The index here of each of `others`, -1 for those that are not; `nil` when somebody stands here or there twice.
    private func places(of others: [Endpoint]) -> [Int32]? {
        var places: [ObjectIdentifier: Int32] = [:]
        for (place, member) in self.members.enumerated() {
            guard places.updateValue(Int32(truncatingIfNeeded: place), forKey: ObjectIdentifier(member)) == nil else {
                return nil
            }
        }
        guard Set(others.map { ObjectIdentifier($0) }).count == others.count else { return nil }
        return others.map { places[ObjectIdentifier($0)] ?? -1 }
    }
}
