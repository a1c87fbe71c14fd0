// SPDX-License-Identifier: Apache-2.0

/// Finds what somebody meant who has mistyped a name.
package enum Spelling {
    /// The name that is nearest to `text`; `nil` when none is near.
    ///
    /// Near is what a third of the letters, but three at most, have to be changed for; letter case does not count.
    package static func nearest(to text: String, among names: some Sequence<String>) -> String? {
        var best: (name: String, distance: Int)?
        for name in names {
            if let distance = Self.slips(from: text, to: name), distance < best?.distance ?? .max {
                best = (name, distance)
            }
        }
        return best?.name
    }

    /// How many letters of `text` have to be changed to make `name` of it; `nil` when that is too many to be a slip.
    static func slips(from text: some StringProtocol, to name: String) -> Int? {
        let (length, other) = (text.unicodeScalars.count, name.unicodeScalars.count)
        let limit = min(max(length / 3, 1), 3)
        guard abs(other - length) <= limit else { return nil }
        let distance = Self.distance(
            Array(text.lowercased().unicodeScalars), Array(name.lowercased().unicodeScalars))
        return distance <= limit ? distance : nil
    }

    /// How many letters have to be changed, added, left out or swapped with their neighbour.
    ///
    /// - Source: the optimal string alignment distance.
    static func distance(_ left: [Unicode.Scalar], _ right: [Unicode.Scalar]) -> Int {
        var beforeLast: [Int] = []
        var last = Array(0...right.count)
        for row in 0..<left.count {
            var next = [row + 1]
            for column in 0..<right.count {
                let isSame = left[row] == right[column]
                var cost = min(last[column + 1] + 1, next[column] + 1, last[column] + (isSame ? 0 : 1))
                if row > 0, column > 0, left[row] == right[column - 1], left[row - 1] == right[column] {
                    cost = min(cost, beforeLast[column - 1] + 1)
                }
                next.append(cost)
            }
            (beforeLast, last) = (last, next)
        }
        return last[right.count]
    }
}
