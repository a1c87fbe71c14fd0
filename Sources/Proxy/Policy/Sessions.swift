// SPDX-License-Identifier: Apache-2.0
// request path

import NIOCore

/// The sessions of a ``SessionTable``, without its lock: pure.
///
/// A doubly linked list through an array, from the session that was not used for longest to the one used last. As all
/// have the same timeout, that is also the order in which they end: what has expired, and what must go when the table
/// is full, stands in front.
struct Sessions: Sendable {
    private struct Session {
        var id: String
        var endpoint: String
        var until: NIODeadline
        var failures = 0
        var older = Sessions.none
        var newer = Sessions.none
    }

    /// The end of the list.
    private static let none = -1

    private let capacity: Int
    private var slots: [Session] = []
    private var free: [Int] = []
    private var slotOf: [String: Int] = [:]
    private var oldest = Sessions.none
    private var newest = Sessions.none

    /// - Parameter capacity: 1 at least.
    init(capacity: Int) { self.capacity = capacity }

    var count: Int { self.slotOf.count }

    func endpoint(of id: String, at now: NIODeadline) -> String? {
        self.slot(of: id, at: now).map { self.slots[$0].endpoint }
    }

    mutating func remember(_ id: String, endpoint: String, until: NIODeadline, at now: NIODeadline) {
        if let slot = self.slotOf[id] {
            self.unlink(slot)
            self.slots[slot].endpoint = endpoint
            self.slots[slot].until = until
            self.slots[slot].failures = 0
            return self.append(slot)
        }
        self.sweep(at: now)
        if self.slotOf.count >= self.capacity { self.remove(self.oldest) }
        let session = Session(id: id, endpoint: endpoint, until: until)
        let slot: Int
        if let unused = self.free.popLast() {
            slot = unused
            self.slots[slot] = session
        } else {
            slot = self.slots.count
            self.slots.append(session)
        }
        self.slotOf[id] = slot
        self.append(slot)
    }

    mutating func refresh(_ id: String, until: NIODeadline, at now: NIODeadline) -> Bool {
        guard let slot = self.slot(of: id, at: now) else { return false }
        self.unlink(slot)
        self.slots[slot].until = until
        self.append(slot)
        return true
    }

    mutating func failed(_ id: String, limit: Int, at now: NIODeadline) -> Bool {
        guard let slot = self.slot(of: id, at: now) else { return false }
        self.slots[slot].failures += 1
        guard self.slots[slot].failures >= limit else { return false }
        self.remove(slot)
        return true
    }

    mutating func succeeded(_ id: String, at now: NIODeadline) {
        guard let slot = self.slot(of: id, at: now) else { return }
        self.slots[slot].failures = 0
    }

    private func slot(of id: String, at now: NIODeadline) -> Int? {
        guard let slot = self.slotOf[id], self.slots[slot].until > now else { return nil }
        return slot
    }

    private mutating func sweep(at now: NIODeadline) {
        while self.oldest != Self.none, self.slots[self.oldest].until <= now { self.remove(self.oldest) }
    }

    private mutating func remove(_ slot: Int) {
        self.unlink(slot)
        self.slotOf[self.slots[slot].id] = nil
        // Nothing of it is kept but the place.
        self.slots[slot].id = ""
        self.slots[slot].endpoint = ""
        self.free.append(slot)
    }

    private mutating func append(_ slot: Int) {
        self.slots[slot].older = self.newest
        self.slots[slot].newer = Self.none
        if self.newest == Self.none { self.oldest = slot } else { self.slots[self.newest].newer = slot }
        self.newest = slot
    }

    private mutating func unlink(_ slot: Int) {
        let (older, newer) = (self.slots[slot].older, self.slots[slot].newer)
        if older == Self.none { self.oldest = newer } else { self.slots[older].newer = newer }
        if newer == Self.none { self.newest = older } else { self.slots[newer].older = older }
    }
}
