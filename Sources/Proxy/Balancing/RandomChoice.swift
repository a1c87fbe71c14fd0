// SPDX-License-Identifier: Apache-2.0
// request path

/// Draws one member of a set, each with the same chance.
package enum RandomChoice {
    /// Draws before the members are counted: with half of them to be had, one in sixteen choices gets there.
    private static let draws = 4

    /// One of `count` members.
    ///
    /// - Returns: `nil` when there are none.
    @inline(__always)
    package static func pick(of count: Int, using random: inout some RandomNumberGenerator) -> Int? {
        count > 0 ? Int(truncatingIfNeeded: random.next(upperBound: UInt(count))) : nil
    }

    /// One of those that may be chosen.
    ///
    /// Cost: a few draws as a rule, O(n) where few may be chosen; no allocation.
    ///
    /// - Returns: `nil` when none may be.
    package static func pick(
        of count: Int, using random: inout some RandomNumberGenerator, where isEligible: (Int) -> Bool
    ) -> Int? {
        for _ in 0..<Self.draws {
            guard let index = Self.pick(of: count, using: &random) else { return nil }
            if isEligible(index) { return index }
        }
        var left = Self.pick(of: (0..<count).count(where: isEligible), using: &random)
        for index in 0..<count where isEligible(index) {
            if left == 0 { return index }
            left? -= 1
        }
        return nil
    }
}
