// SPDX-License-Identifier: Apache-2.0
// request path

/// Takes the members of a set in turn, as often as their weights say, by smooth weighted round robin; some may be left out
/// at times, and weights may be others each time.
///
/// Over any run of picks among the same members each is within about one of its share. Pure; the caller keeps one for each
/// set.
///
/// - Source: nginx's smooth weighted balancing for the method; the shares are those of Envoy's scheduler by earliest deadline.
package struct WeightedTurn: Sendable {
    private var credits: [Double]

    /// A turn that begins anywhere, so that many sidecars do not all begin with the same member.
    ///
    /// - Parameter weights: Of the members, as a rule.
    package init(_ weights: [Int], using random: inout some RandomNumberGenerator) {
        self.credits = weights.map { Double($0) * Double.random(in: 0..<1, using: &random) }
    }

    /// How many members there are.
    var count: Int { self.credits.count }

    /// The next member of those that may be chosen.
    ///
    /// Cost: O(n), no allocation.
    ///
    /// - Parameter weight: Of the member at an index; 0 for one that may not be chosen.
    /// - Returns: An index into the weights; `nil` when none may be chosen.
    @inline(__always)
    package mutating func pick(weight: (Int) -> Double) -> Int? {
        var best: Int?
        var bestCredit = -Double.infinity
        var total = 0.0
        for index in self.credits.indices {
            let weight = weight(index)
            guard weight > 0 else { continue }
            let credit = self.credits[index] + weight
            self.credits[index] = credit
            total += weight
            if credit > bestCredit { (best, bestCredit) = (index, credit) }
        }
        if let best { self.credits[best] = bestCredit - total }
        return best
    }
}
