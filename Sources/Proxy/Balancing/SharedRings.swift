// SPDX-License-Identifier: Apache-2.0

package import Common
import NIOCore
import Synchronization

/// The tables by which a service's instances are found by hash, one for each set that requests choose from; all event loops
/// share them.
///
/// A table is made off the loops. A ring is made out of the one before it as far as their instances are the same, and until
/// it is there, a loop finds the same instance in a longer way: see ``HashRing/pick(_:of:seed:points:where:)``. Until a table
/// of Maglev is there, the one before it goes on, and requests wait for the first.
package final class SharedRings: Sendable {
    private let rings = Mutex<[Int: SharedRing]>([:])

    /// None yet.
    package init() {}

    /// The table of `members`, which is being made when nobody has asked for it before.
    ///
    /// - Parameter place: Which of the service's sets they are; the table there before is made use of.
    package func ring(of members: [Endpoint], _ layout: HashLayout, at place: Int) -> SharedRing {
        self.rings.withLock { rings in
            let old = rings[place]
            if let old, old.layout == layout, old.members.elementsEqual(members, by: ===) { return old }
            let ring = SharedRing(members, layout, upon: old)
            rings[place] = ring
            Task { ring.make(upon: old) }
            return ring
        }
    }
}

/// A table that is there, or will be soon.
package final class SharedRing: Sendable {
    /// A table of other members that goes on meanwhile.
    struct Interim: Sendable {
        fileprivate let table: MaglevTable
        /// The index here of each of its members, -1 for those that are not.
        fileprivate let places: [Int32]

        /// See ``HashTable/pick(_:where:)``.
        func pick(_ hash: UInt64, where isEligible: (Int) -> Bool) -> Int? {
            let found = self.table.pick(hash) { old in
                let place = Int(self.places[old])
                return place >= 0 && isEligible(place)
            }
            return found.map { Int(self.places[$0]) }
        }
    }

    private struct State {
        var table: HashTable?
        var interim: Interim?
        var waiting: [EventLoopPromise<Void>] = []
    }

    /// The endpoints in it.
    package let members: [Endpoint]
    /// How it is made.
    package let layout: HashLayout
    private let state: Mutex<State>
    private let isMade = Atomic<Bool>(false)

    fileprivate init(_ members: [Endpoint], _ layout: HashLayout, upon old: SharedRing?) {
        self.members = members
        self.layout = layout
        var interim: Interim?
        if case .maglev = layout, let old, case .maglev(let table)? = old.table {
            let places = Self.places(of: old.members, among: members)
            if let places, places.contains(where: { $0 >= 0 }) { interim = Interim(table: table, places: places) }
        }
        self.state = Mutex(State(interim: interim))
    }

    /// The table; `nil` as long as it is being made.
    package var table: HashTable? {
        guard self.isMade.load(ordering: .acquiring) else { return nil }
        return self.state.withLock { $0.table }
    }

    /// What goes on until the table is there; `nil` for nothing.
    var interim: Interim? { self.state.withLock { $0.interim } }

    /// Succeeds when the table is there.
    func whenMade(on loop: any EventLoop) -> EventLoopFuture<Void> {
        self.state.withLock { state in
            guard state.table == nil else { return loop.makeSucceededVoidFuture() }
            let promise = loop.makePromise(of: Void.self)
            state.waiting.append(promise)
            return promise.futureResult
        }
    }

    fileprivate func make(upon old: SharedRing?) {
        let names = self.members.map(\.description)
        let table: HashTable
        switch self.layout {
        case .ring(let points): table = .ring(self.ring(names, points, upon: old))
        case .maglev(let size, let parts): table = .maglev(MaglevTable(names, parts: parts, size: size))
        }
        let waiting = self.state.withLock { state in
            defer { state = State(table: table) }
            return state.waiting
        }
        self.isMade.store(true, ordering: .releasing)
        for promise in waiting { promise.succeed() }
    }

    private func ring(_ names: [String], _ points: [Int32], upon old: SharedRing?) -> HashRing {
        guard let old, case .ring(let before)? = old.table, case .ring(let oldPoints) = old.layout,
            var places = Self.places(of: old.members, among: self.members)
        else { return HashRing(names, points: points) }
        // Who has more or fewer points is made anew.
        for (index, place) in places.enumerated() where place >= 0 && points[Int(place)] != oldPoints[index] {
            places[index] = -1
        }
        return HashRing(names, points: points, upon: before, places: places)
    }

    /// The index among `members` of each of `others`, -1 for those that are not; `nil` when somebody stands here or there
    /// twice.
    private static func places(of others: [Endpoint], among members: [Endpoint]) -> [Int32]? {
        var places: [ObjectIdentifier: Int32] = [:]
        for (place, member) in members.enumerated() {
            guard places.updateValue(Int32(truncatingIfNeeded: place), forKey: ObjectIdentifier(member)) == nil else {
                return nil
            }
        }
        guard Set(others.map { ObjectIdentifier($0) }).count == others.count else { return nil }
        return others.map { places[ObjectIdentifier($0)] ?? -1 }
    }
}
