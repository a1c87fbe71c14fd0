// SPDX-License-Identifier: Apache-2.0
// request path

/// One character of bytes that are meant to be UTF-8, or one byte that is none.
///
/// - Source: RFC 3629 §4 for what is valid: no overlong forms, no surrogates, nothing above U+10FFFF.
struct UTF8Scalar {
    /// The code point; the byte itself when it is no UTF-8.
    let value: UInt32
    /// How many bytes it takes; 1 when it is no UTF-8.
    let length: Int
    /// Whether this is UTF-8.
    let isValid: Bool

    /// What begins at `index`, looking at bytes before `end` only.
    init(_ bytes: RawSpan, at index: Int, end: Int) {
        let first = UInt32(bytes.byte(at: index))
        let length = Self.length(first)
        guard length > 1 else {
            (self.value, self.length, self.isValid) = (first, 1, length == 1)
            return
        }
        var value = first & (0x7f &>> UInt32(length))
        var isValid = index &+ length <= end
        if isValid {
            for offset in 1..<length {
                let next = UInt32(bytes.byte(at: index &+ offset))
                if next & 0xc0 != 0x80 { isValid = false }
                value = value << 6 | next & 0x3f
            }
        }
        if length == 3, value < 0x800 || 0xd800...0xdfff ~= value { isValid = false }
        if length == 4, value < 0x1_0000 || value > 0x10_ffff { isValid = false }
        (self.value, self.length, self.isValid) = isValid ? (value, length, true) : (first, 1, false)
    }

    /// How many bytes a character with this first byte takes; 0 for a byte that begins none.
    private static func length(_ first: UInt32) -> Int {
        switch first {
        case 0x00...0x7f: 1
        case 0xc2...0xdf: 2
        case 0xe0...0xef: 3
        case 0xf0...0xf4: 4
        default: 0
        }
    }

    /// Whether it may stand in a line as it is: no ASCII (whoever asks has looked at that), valid, and neither a
    /// control character nor one that breaks lines or turns their direction.
    var isHarmless: Bool {
        guard self.isValid, self.value >= 0x80 else { return false }
        switch self.value {
        case 0x80...0x9f, 0x61c, 0x200e...0x200f, 0x2028...0x202e, 0x2066...0x206f: return false
        default: return true
        }
    }

    /// The second byte of an escape that text and JSON write alike; `nil` for what needs its number.
    var shortEscape: UInt8? {
        switch self.value {
        case 0x09: UInt8(ascii: "t")
        case 0x0a: UInt8(ascii: "n")
        case 0x0d: UInt8(ascii: "r")
        case 0x22, 0x5c: UInt8(truncatingIfNeeded: self.value)
        default: nil
        }
    }
}

extension [UInt8] {
    /// Appends the lowest hexadecimal digits of `value`.
    mutating func appendHex(_ value: UInt32, digits: Int) {
        for place in (0..<digits).reversed() {
            let digit = UInt8(truncatingIfNeeded: value &>> UInt32(4 &* place)) & 0xf
            self.append(digit < 10 ? 0x30 &+ digit : 0x57 &+ digit)
        }
    }

    /// Appends the bytes of `range`, which are UTF-8, or as many whole characters of it as fit.
    ///
    /// - Returns: `false` when not all of it fitted.
    @inline(__always)
    mutating func append(_ bytes: RawSpan, from start: Int, to end: Int, upTo limit: Int) -> Bool {
        guard start < end else { return true }
        var cut = end
        let room = limit &- self.count
        if end &- start > room {
            cut = start &+ Swift.max(room, 0)
            while cut > start, bytes.byte(at: cut) & 0xc0 == 0x80 { cut &-= 1 }
        }
        self.append(bytes.extracting(start..<cut))
        return cut == end
    }

    /// Appends a copy of `bytes`.
    @inline(__always)
    mutating func append(_ bytes: RawSpan) {
        unsafe bytes.withUnsafeBytes { source in
            unsafe self.append(contentsOf: source.bindMemory(to: UInt8.self))
        }
    }

    /// Appends the bytes of `text`.
    @inline(__always)
    mutating func append(_ text: StaticString) {
        self.append(unsafe RawSpan(_unsafeStart: text.utf8Start, byteCount: text.utf8CodeUnitCount))
    }
}

extension String {
    /// The UTF-8 of the text as raw bytes, without a copy.
    package var rawSpan: RawSpan {
        @_lifetime(borrow self)
        borrowing get { unsafe self.utf8Span.span.bytes }  // unsafe for types with padding only
    }
}
