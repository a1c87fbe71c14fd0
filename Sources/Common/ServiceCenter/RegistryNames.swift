// SPDX-License-Identifier: Apache-2.0

/// What service-center takes for a name and for a version: whatever breaks these rules is refused by it for ever.
///
/// - Source: the rules of service-center 2.1 and 2.2, as their answers state them.
package enum RegistryNames {
    /// The most bytes of a service's name.
    package static let nameLimit = 128
    /// The most bytes of an application's name.
    package static let appLimit = 160
    /// The most bytes of an alias.
    package static let aliasLimit = 128

    /// Whether these bytes are a name: letters, digits, `_`, `-` and `.`, with a letter or a digit at both ends.
    ///
    /// Cost: one pass, no allocation.
    package static func isName(_ bytes: RawSpan, limit: Int = RegistryNames.nameLimit) -> Bool {
        let count = bytes.byteCount
        guard (1...limit).contains(count), Self.isAlphanumeric(bytes.byte(at: 0)),
            Self.isAlphanumeric(bytes.byte(at: count - 1))
        else { return false }
        for index in 0..<count {
            switch bytes.byte(at: index) {
            case UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "."): continue
            case let byte: if !Self.isAlphanumeric(byte) { return false }
            }
        }
        return true
    }

    /// The same of a text, off the request path.
    package static func isName(_ text: String, limit: Int = RegistryNames.nameLimit) -> Bool {
        Self.isName(Array(text.utf8).rawSpan, limit: limit)
    }

    /// Whether a text is a version: `x`, `x.y`, `x.y.z` or `x.y.z.w`, each a number up to 32767.
    package static func isVersion(_ text: String) -> Bool {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        return (1...4).contains(parts.count)
            && parts.allSatisfy { part in
                !part.isEmpty && part.utf8.allSatisfy { (0x30...0x39).contains($0) }
                    && (Int(part).map { $0 <= 32_767 } ?? false)
            }
    }

    /// Whether a byte is a letter or a digit of ASCII.
    package static func isAlphanumeric(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: false
        }
    }
}
