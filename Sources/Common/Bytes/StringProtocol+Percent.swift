// SPDX-License-Identifier: Apache-2.0

extension StringProtocol {
    /// The text with every octet that `isKept` refuses written as `%` and two digits.
    ///
    /// - Parameter isKept: Asked for each octet of UTF-8; what stands for itself anywhere in a URL, unless said otherwise.
    package func percentEncoded(keeping isKept: (UInt8) -> Bool = { $0.isUnreserved }) -> String {
        let digits = Array("0123456789ABCDEF".utf8)
        var bytes: [UInt8] = []
        for byte in self.utf8 {
            if isKept(byte) {
                bytes.append(byte)
            } else {
                bytes += [.percent, digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The text with octets instead of each `%` and its two digits; `nil` when there are no digits, or no UTF-8 comes out.
    package var percentDecoded: String? {
        var rest = Array(self.utf8)[...]
        var bytes: [UInt8] = []
        while let byte = rest.popFirst() {
            guard byte == .percent else {
                bytes.append(byte)
                continue
            }
            guard
                let high = rest.popFirst()?.hexValue, let low = rest.popFirst()?.hexValue, high < 16, low < 16
            else { return nil }
            bytes.append(high << 4 | low)
        }
        return String(validating: bytes, as: UTF8.self)
    }
}

extension UInt8 {
    /// Whether it stands for itself anywhere in a URL: a letter, a digit, or one of `-._~`.
    ///
    /// - Source: RFC 3986 §2.3.
    package var isUnreserved: Bool {
        self.isDigit || self.lowercased &- 0x61 < 26 || [0x2d, 0x2e, 0x5f, 0x7e].contains(self)
    }
}
