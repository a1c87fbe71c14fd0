// SPDX-License-Identifier: Apache-2.0

extension StringProtocol {
    /// The text without white space and line ends around it.
    package var trimmed: String {
        let start = self.drop(while: \.isWhitespace)
        let end = start.lastIndex { !$0.isWhitespace }
        return end.map { String(start[...$0]) } ?? ""
    }

    /// The text with spaces behind it up to `width` characters; as it is when it has as many.
    package func padded(to width: Int) -> String {
        self + String(repeating: " ", count: Swift.max(0, width - self.count))
    }
}

extension Double {
    /// The number with `digits` digits behind its point, rounded; for what people read.
    ///
    /// - Parameter digits: 1 to 6.
    package func text(digits: Int) -> String {
        let unit = (0..<digits).reduce(1) { product, _ in product * 10 }
        guard let scaled = Int(exactly: (self.magnitude * Double(unit)).rounded()) else { return "\(self)" }
        let fraction = String(scaled % unit)
        let zeros = String(repeating: "0", count: digits - fraction.count)
        return "\(self < 0 && scaled > 0 ? "-" : "")\(scaled / unit).\(zeros)\(fraction)"
    }
}
