// SPDX-License-Identifier: Apache-2.0
// request path

import Synchronization

/// Counts the requests of a host that something is done to on purpose, where their number is limited.
///
/// One for all event loops.
package final class ActiveFaults: Sendable {
    private let count = Atomic<Int>(0)

    /// None yet.
    package init() {}

    /// A place among those that are allowed, which is given back when nobody has it any more.
    ///
    /// - Parameter most: How many there may be.
    /// - Returns: `nil` when there are as many.
    package func take(most: Int) -> Place? {
        guard self.count.add(1, ordering: .relaxed).newValue <= most else {
            self.count.subtract(1, ordering: .relaxed)
            return nil
        }
        return Place(self)
    }

    /// How many there are.
    var taken: Int { self.count.load(ordering: .relaxed) }

    /// One of those that are counted.
    package final class Place {
        private let faults: ActiveFaults

        fileprivate init(_ faults: ActiveFaults) { self.faults = faults }

        deinit { self.faults.count.subtract(1, ordering: .relaxed) }
    }
}
