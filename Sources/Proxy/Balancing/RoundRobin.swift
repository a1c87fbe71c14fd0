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

    /// The next index of those that may be chosen: whoever is passed over has had its turn.
    ///
    /// Cost: O(n) where few may be chosen.
    ///
    /// - Returns: `nil` when none may be.
    package mutating func pick(of count: Int, where isEligible: (Int) -> Bool) -> Int? {
        for _ in 0..<count {
            if let index = self.pick(of: count), isEligible(index) { return index }
        }
        return nil
    }
}
