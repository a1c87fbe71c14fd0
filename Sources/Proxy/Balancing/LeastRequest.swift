// SPDX-License-Identifier: Apache-2.0
// request path

/// Chooses the less loaded one of two members taken at random.
///
/// Comparing two rather than all keeps the event loops, each of which knows a load that is a little old, from running to
/// the same member.
///
/// - Source: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001.
package enum LeastRequest {
    /// One of `count` members.
    ///
    /// Cost: O(1), no allocation; `load` is asked twice at most.
    ///
    /// - Parameter load: Of the member with this index, lower is better: the requests under way, for instance.
    /// - Returns: `nil` when there are none.
    package static func pick<Load: Comparable>(
        of count: Int, using random: inout some RandomNumberGenerator, load: (Int) -> Load
    ) -> Int? {
        guard count > 1 else { return count == 1 ? 0 : nil }
        let one = Int.random(in: 0..<count, using: &random)
        let step = Int.random(in: 1..<count, using: &random)
        let other = one < count - step ? one + step : one - (count - step)
        return load(other) < load(one) ? other : one
    }
    /// One of those that may be chosen.
    ///
    /// Cost: see ``RandomChoice/pick(of:using:where:)``.
    ///
    /// - Returns: `nil` when none may be.
    package static func pick<Load: Comparable>(
        of count: Int, using random: inout some RandomNumberGenerator, where isEligible: (Int) -> Bool,
        load: (Int) -> Load
    ) -> Int? {
        guard let one = RandomChoice.pick(of: count, using: &random, where: isEligible) else { return nil }
        let other = RandomChoice.pick(of: count, using: &random) { $0 != one && isEligible($0) }
        guard let other else { return one }
        return load(other) < load(one) ? other : one
    }
}
