// SPDX-License-Identifier: Apache-2.0

/// What an answer takes away that is not believed at once.
enum MassLoss {
    /// With so few, all may vanish at once.
    private static let smallest = 5

    /// Whether more than half of more than a few are gone.
    static func isOne(_ lost: Int, of known: Int) -> Bool { known > Self.smallest && lost * 2 > known }
}
