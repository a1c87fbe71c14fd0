// SPDX-License-Identifier: Apache-2.0
// request path

/// The bytes that HTTP gives a meaning, and the classes that its grammar uses.
extension UInt8 {
    /// `HTAB`.
    @inlinable package static var tab: Self { 0x09 }
    /// `LF`.
    @inlinable package static var lineFeed: Self { 0x0a }
    /// `CR`.
    @inlinable package static var carriageReturn: Self { 0x0d }
    /// `SP`.
    @inlinable package static var space: Self { 0x20 }
    /// `"`.
    @inlinable package static var quote: Self { 0x22 }
    /// `#`.
    @inlinable package static var hash: Self { 0x23 }
    /// `%`.
    @inlinable package static var percent: Self { 0x25 }
    /// `*`.
    @inlinable package static var asterisk: Self { 0x2a }
    /// `,`.
    @inlinable package static var comma: Self { 0x2c }
    /// `.`.
    @inlinable package static var dot: Self { 0x2e }
    /// `/`.
    @inlinable package static var slash: Self { 0x2f }
    /// `:`.
    @inlinable package static var colon: Self { 0x3a }
    /// `;`.
    @inlinable package static var semicolon: Self { 0x3b }
    /// `=`.
    @inlinable package static var equals: Self { 0x3d }
    /// `?`.
    @inlinable package static var question: Self { 0x3f }
    /// `[`.
    @inlinable package static var leftBracket: Self { 0x5b }
    /// `\`.
    @inlinable package static var backslash: Self { 0x5c }
    /// `]`.
    @inlinable package static var rightBracket: Self { 0x5d }
    /// `{`.
    @inlinable package static var leftBrace: Self { 0x7b }
    /// `}`.
    @inlinable package static var rightBrace: Self { 0x7d }

    /// Whether a name or method may contain the byte: `tchar` of RFC 9110 §5.6.2.
    ///
    /// Two words of bits instead of a table in memory.
    @inlinable @inline(__always)
    package var isToken: Bool {
        // ! # $ % & ' * + - . 0-9, then A-Z ^ _ ` a-z | ~
        let bits: UInt64 = self & 0x40 == 0 ? 0x03ff_6cfa_0000_0000 : 0x57ff_ffff_c7ff_fffe
        return self < 0x80 && bits &>> UInt64(self & 0x3f) & 1 != 0
    }

    /// The same without upper-case letters, as names are in HTTP/2: RFC 9113 §8.2.1.
    @inlinable @inline(__always)
    package var isLowercaseToken: Bool {
        // ! # $ % & ' * + - . 0-9, then ^ _ ` a-z | ~
        let bits: UInt64 = self & 0x40 == 0 ? 0x03ff_6cfa_0000_0000 : 0x57ff_ffff_c000_0000
        return self < 0x80 && bits &>> UInt64(self & 0x3f) & 1 != 0
    }

    /// The byte with `A`…`Z` turned to lower case, any other one as it is.
    @inlinable @inline(__always)
    package var lowercased: Self { self &- 0x41 < 26 ? self | 0x20 : self }

    /// Whether the byte is `0`…`9`.
    @inlinable @inline(__always)
    package var isDigit: Bool { self &- 0x30 < 10 }

    /// The value of a hexadecimal digit; 255 for any other byte.
    @inlinable @inline(__always)
    package var hexValue: Self {
        if self.isDigit { return self &- 0x30 }
        let letter = (self | 0x20) &- 0x61
        return letter < 6 ? letter &+ 10 : 255
    }
}
