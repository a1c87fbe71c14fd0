// SPDX-License-Identifier: Apache-2.0
// request path

/// Makes any bytes fit to stand in one line of a log: nothing that comes out ends a line, drives a terminal or changes
/// the order in which text is read.
///
/// What is escaped: control characters (C0, DEL, C1), the backslash, bytes that are no UTF-8, the line and paragraph
/// separators U+2028 and U+2029, and the characters of bidirectional text (U+061C, U+200E, U+200F, U+202A…U+202E,
/// U+2066…U+206F). All else, such as letters of any language, stays as it is. What comes out is valid UTF-8.
///
/// Cost: clean ASCII is looked at eight bytes at a time and copied as a whole. Output is never shorter than input, so
/// of bytes that do not fit below the limit none are looked at.
package enum LineEscaper {
    /// What an escape looks like.
    private enum Form {
        /// `\n`, `\x1b`, `\u202e`, and `\xff` for what is no UTF-8.
        case text
        /// The same, and `\"`.
        case quoted
        /// `\n`, `\u001b`, `\u202e`, and `\ufffd` for what is no UTF-8: RFC 8259 §7.
        case json
    }

    /// Appends `bytes` as they may stand in a line of text, outside quotes: quotes are left alone.
    ///
    /// - Parameter limit: How long `line` may become; no character and no escape is torn.
    /// - Returns: `false` when not all of it fitted.
    @discardableResult
    package static func appendText(_ bytes: RawSpan, to line: inout [UInt8], upTo limit: Int = .max) -> Bool {
        self.append(bytes, to: &line, upTo: limit, .text)
    }

    /// Appends `bytes` as they may stand between double quotes in a line of text; the quotes are the caller's.
    ///
    /// - Parameter limit: How long `line` may become; no character and no escape is torn.
    /// - Returns: `false` when not all of it fitted.
    @discardableResult
    package static func appendQuoted(_ bytes: RawSpan, to line: inout [UInt8], upTo limit: Int = .max) -> Bool {
        self.append(bytes, to: &line, upTo: limit, .quoted)
    }

    /// Appends `bytes` as they may stand between the quotes of a JSON string; the quotes are the caller's.
    ///
    /// - Parameter limit: How long `line` may become; no character and no escape is torn.
    /// - Returns: `false` when not all of it fitted.
    @discardableResult
    package static func appendJSON(_ bytes: RawSpan, to line: inout [UInt8], upTo limit: Int = .max) -> Bool {
        self.append(bytes, to: &line, upTo: limit, .json)
    }

    /// Whether `bytes` may stand in a JSON string as they are; not for every text that may is this found out.
    package static func isClean(_ bytes: RawSpan) -> Bool {
        self.firstSuspect(in: bytes, from: 0, to: bytes.byteCount, quote: .quote) == bytes.byteCount
    }

    @inline(__always)
    private static func append(
        _ bytes: RawSpan, to line: inout [UInt8], upTo limit: Int, _ form: Form
    ) -> Bool {
        // A character that this cuts looks like a mistake, whose escape does not fit either.
        let count = min(bytes.byteCount, max(limit - line.count, 0))
        var start = 0
        var index = 0
        while true {
            index = self.firstSuspect(in: bytes, from: index, to: count, quote: form == .text ? .backslash : .quote)
            guard index < count else { break }
            let scalar = UTF8Scalar(bytes, at: index, end: count)
            if scalar.isHarmless {
                index &+= scalar.length
                continue
            }
            guard line.append(bytes, from: start, to: index, upTo: limit) else { return false }
            guard self.appendEscape(scalar, to: &line, upTo: limit, form) else { return false }
            index &+= scalar.length
            start = index
        }
        return line.append(bytes, from: start, to: count, upTo: limit) && count == bytes.byteCount
    }

    /// The first byte that may need an escape: a control character, a quote, a backslash, or no ASCII.
    ///
    /// The usual words of bits: subtracting 0x20 from each byte borrows where it is smaller, subtracting 1 after an
    /// exclusive or where it is equal. A borrow may spoil bytes above the first hit, never the first hit itself.
    @inline(__always)
    private static func firstSuspect(in bytes: RawSpan, from start: Int, to end: Int, quote: UInt8) -> Int {
        var index = start
        while index &+ 8 <= end {
            let found = self.suspects(in: bytes.word(at: index), quote: quote)
            if found != 0 { return index &+ found.trailingZeroBitCount / 8 }
            index &+= 8
        }
        if index < end, end &- 8 >= start {
            // The last eight: of those that are looked at again it is known that they are none.
            let found = self.suspects(in: bytes.word(at: end &- 8), quote: quote)
            return found == 0 ? end : end &- 8 &+ found.trailingZeroBitCount / 8
        }
        while index < end, !self.isSuspect(bytes.byte(at: index), quote: quote) { index &+= 1 }
        return index
    }

    @inline(__always)
    private static func suspects(in word: UInt64, quote: UInt8) -> UInt64 {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let control = word &- ones &* 0x20
        let quotes = (word ^ ones &* UInt64(quote)) &- ones
        let backslash = (word ^ ones &* UInt64(UInt8.backslash)) &- ones
        let delete = (word ^ ones &* 0x7f) &- ones
        // Where the top bit is set in `word` already, the byte is no ASCII and counts too.
        return (word | control | quotes | backslash | delete) & (ones &* 0x80)
    }

    @inline(__always)
    private static func isSuspect(_ byte: UInt8, quote: UInt8) -> Bool {
        byte < 0x20 || byte >= 0x7f || byte == quote || byte == .backslash
    }

    @inline(never)
    private static func appendEscape(
        _ scalar: UTF8Scalar, to line: inout [UInt8], upTo limit: Int, _ form: Form
    ) -> Bool {
        let room = limit - line.count
        if let letter = scalar.shortEscape {
            guard room >= 2 else { return false }
            line.append(.backslash)
            line.append(letter)
        } else if form != .json && (scalar.value < 0x80 || !scalar.isValid) {
            guard room >= 4 else { return false }
            line.append(.backslash)
            line.append(UInt8(ascii: "x"))
            line.appendHex(scalar.value, digits: 2)
        } else {
            guard room >= 6 else { return false }
            line.append(.backslash)
            line.append(UInt8(ascii: "u"))
            line.appendHex(scalar.isValid ? scalar.value : 0xfffd, digits: 4)
        }
        return true
    }
}
