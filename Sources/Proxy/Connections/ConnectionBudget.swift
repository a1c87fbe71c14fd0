// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// How many client connections there may be, and how many there are, over all event loops.
package final class ConnectionBudget: Sendable {
    private let used = Atomic<Int>(0)
    private let limit: Atomic<Int>
    private let parent: ConnectionBudget?

    /// - Parameter limit: More than this are not accepted; they wait in the kernel's queue.
    /// - Parameter parent: A budget that has to have room as well: the process's.
    package init(limit: Int, within parent: ConnectionBudget? = nil) {
        self.limit = Atomic(limit)
        self.parent = parent
    }

    /// How many client connections a descriptor limit has room for.
    ///
    /// Each may need a connection to an upstream besides its own descriptor, and ``reserve`` is for others.
    ///
    /// - Source: limit L4.
    package static func share(ofDescriptors limit: Int) -> Int { max((limit - Self.reserve) / 2, 8) }

    /// Descriptors that no client is given: for the admin listener, discovery, logs and the event loops.
    package static let reserve = 64

    /// Changes the limit; connections over it stay.
    package func setLimit(_ limit: Int) { self.limit.store(limit, ordering: .relaxed) }

    /// How many there are.
    package var current: Int { self.used.load(ordering: .relaxed) }

    /// How many more may be accepted now.
    package var room: Int {
        let own = max(self.limit.load(ordering: .relaxed) - self.current, 0)
        return self.parent.map { min(own, $0.room) } ?? own
    }

    /// One was accepted.
    package func enter() {
        self.used.wrappingAdd(1, ordering: .relaxed)
        self.parent?.enter()
    }

    /// One is closed.
    package func leave() {
        self.used.wrappingSubtract(1, ordering: .relaxed)
        self.parent?.leave()
    }
}
