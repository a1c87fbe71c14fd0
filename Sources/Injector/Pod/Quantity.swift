// SPDX-License-Identifier: Apache-2.0

/// An amount of something as Kubernetes writes it: `50m`, `64Mi`, `1.5`, `1e3`.
///
/// - Source: the grammar of `resource.Quantity`.
struct Quantity: Sendable {
    /// In units; as exact as is needed to compare two.
    let amount: Double

    private static let suffixes: [String: Double] = [
        "": 1, "n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
        "Ki": 0x1p10, "Mi": 0x1p20, "Gi": 0x1p30, "Ti": 0x1p40, "Pi": 0x1p50, "Ei": 0x1p60,
    ]

    /// `nil` for what is none.
    init?(_ text: String) {
        let sign = text.first == "-" || text.first == "+" ? 1 : 0
        let digits = text.dropFirst(sign).prefix { "0123456789.".contains($0) }
        guard digits.contains(where: { $0 != "." }), let number = Double(digits) else { return nil }
        let rest = text.dropFirst(sign + digits.count)
        let factor: Double
        if let suffix = Self.suffixes[String(rest)] {
            factor = suffix
        } else if rest.first == "e" || rest.first == "E", let exponent = Int(rest.dropFirst()), abs(exponent) < 30 {
            factor = (0..<abs(exponent)).reduce(1) { product, _ in exponent < 0 ? product / 10 : product * 10 }
        } else {
            return nil
        }
        self.amount = (text.first == "-" ? -1 : 1) * number * factor
    }
}
