// SPDX-License-Identifier: Apache-2.0

extension Int {
    /// Whether only 1 and itself divide it.
    ///
    /// Cost: the square root, in divisions.
    package var isPrime: Bool {
        guard self > 1 else { return false }
        var divisor = 2
        while divisor * divisor <= self {
            if self % divisor == 0 { return false }
            divisor += 1
        }
        return true
    }
}
