// SPDX-License-Identifier: Apache-2.0
// request path

/// Takes the members of a set in turn.
///
/// Pure; the caller keeps one for each set.
package struct RoundRobin: Sendable {
    private var next: UInt

    /// - Parameter start: Where to begin; any number will do.
    package init(startingAt start: UInt) { self.next = start }

    /// The next index.
    ///
    /// The set may have changed its size since the last call: the turn then goes on from about the same place.
    ///
    /// - Parameter count: How many members there are.
    /// - Returns: `nil` when there are none.
    package mutating func pick(of count: Int) -> Int? {
        guard count > 0 else { return nil }
        let index = Int(self.next % UInt(count))
        self.next &+= 1
        return index
    }

    /// Passes over as many members.
    package mutating func skip(_ count: Int) { self.next &+= UInt(truncatingIfNeeded: count) }
}
