// SPDX-License-Identifier: Apache-2.0

import Common
import FoundationEssentials
import NIOCore

/// JSON that is put together byte by byte, for what is written of every request: an encoder of the library costs twenty
/// times as much.
///
/// Whoever uses it sees to the commas and brackets, and to the room: see ``room(for:)``.
extension OutputRawSpan {
    /// How many bytes a text of this length may become: an octet that is no text is written in six.
    static func room(for count: Int) -> Int { 6 * count + 2 }

    /// Appends a string with its quotes.
    mutating func quoted(_ text: RawSpan) {
        self.append(UInt8.quote)
        self.escaped(text)
        self.append(UInt8.quote)
    }

    /// Appends a string with its quotes.
    mutating func quoted(_ text: String) { self.quoted(text.rawSpan) }

    /// Appends text inside of a string.
    ///
    /// - Parameter isClean: Whether it is known to need no escape.
    @inline(__always)
    mutating func escaped(_ text: RawSpan, isClean: Bool = false) {
        if isClean || LineEscaper.isClean(text) {
            self.append(text)
        } else {
            self.appendEscaped(text)
        }
    }

    /// The most of one text that is written where it needs escapes.
    static let longestEscaped = 4096

    @inline(never)
    private mutating func appendEscaped(_ text: RawSpan) {
        var bytes: [UInt8] = []
        // However long it would become: a line of a log has at most 8 KiB.
        LineEscaper.appendJSON(text, to: &bytes, upTo: Self.longestEscaped)
        self.append(bytes.rawSpan)
    }

    /// Appends a whole number.
    mutating func decimal(_ value: Int) {
        if value < 0 { self.append(UInt8(ascii: "-")) }
        self.decimal(magnitude: UInt64(value.magnitude))
    }

    private mutating func decimal(magnitude: UInt64) {
        if magnitude < 10 { return self.append(0x30 &+ UInt8(truncatingIfNeeded: magnitude)) }
        guard magnitude < 100_000_000 else {
            self.decimal(magnitude: magnitude / 100_000_000)
            return self.append(word: 0x3030_3030_3030_3030 &+ Self.digits(magnitude % 100_000_000))
        }
        let digits = Self.digits(magnitude)
        // The lowest byte is the first digit: without the zeros in front.
        let zeros = digits.trailingZeroBitCount / 8
        self.append(word: (0x3030_3030_3030_3030 &+ digits) &>> UInt64(8 &* zeros), count: 8 &- zeros)
    }

    /// The digits of a number below 10^8, the first one in the lowest byte.
    ///
    /// Halves, quarters and digits are divided side by side in one word; the divisions are multiplications that are exact
    /// for numbers of this size.
    private static func digits(_ number: UInt64) -> UInt64 {
        let four = number / 10_000
        var word = four | (number &- four &* 10_000) &<< 32
        let two = (word &* 10_486) &>> 20 & 0x0000_007f_0000_007f
        word = two | (word &- two &* 100) &<< 16
        let one = (word &* 103) &>> 10 & 0x000f_000f_000f_000f
        return one | (word &- one &* 10) &<< 8
    }

    /// Appends a number of milliseconds, exact to a microsecond.
    mutating func milliseconds(ofMicroseconds value: Int) {
        self.decimal(value / 1000)
        let rest = abs(value % 1000)
        guard rest > 0 else { return }
        self.append(UInt8.dot)
        self.append(0x30 &+ UInt8(truncatingIfNeeded: rest / 100))
        self.append(0x30 &+ UInt8(truncatingIfNeeded: rest / 10 % 10))
        self.append(0x30 &+ UInt8(truncatingIfNeeded: rest % 10))
    }

    /// Appends a number as 16 hexadecimal digits.
    mutating func hex(_ number: UInt64) {
        self.append(word: number.highHexDigits)
        self.append(word: number.lowHexDigits)
    }

    /// Appends the bytes of a word, the lowest first.
    @inline(__always)
    private mutating func append(word: UInt64) {
        var bytes = word.littleEndian
        unsafe withUnsafeBytes(of: &bytes) { unsafe self.append(RawSpan(_unsafeBytes: $0)) }
    }

    /// Appends the lowest bytes of a word.
    private mutating func append(word: UInt64, count: Int) {
        var bytes = word.littleEndian
        unsafe withUnsafeBytes(of: &bytes) { unsafe self.append(RawSpan(_unsafeBytes: $0).extracting(first: count)) }
    }

    /// Appends the id of a trace with its quotes: 16 digits where the upper half is 0 and `isShort`, else 32.
    mutating func traceID(_ trace: TraceContext, isShort: Bool) {
        self.append(UInt8.quote)
        if !isShort || trace.traceHigh != 0 { self.hex(trace.traceHigh) }
        self.hex(trace.traceLow)
        self.append(UInt8.quote)
    }

    /// Appends the id of a span with its quotes.
    mutating func spanID(_ id: UInt64) {
        self.append(UInt8.quote)
        self.hex(id)
        self.append(UInt8.quote)
    }

    /// Appends an IP address, or `-` where there is none.
    mutating func address(_ peer: SocketAddress?) {
        guard case .v4(let address) = peer else {
            self.escaped((peer?.ipAddress ?? "-").rawSpan)
            return
        }
        // Behind family and port, on every system that there is.
        let bits = unsafe withUnsafeBytes(of: address.address) {
            unsafe UInt32(bigEndian: $0.load(fromByteOffset: 4, as: UInt32.self))
        }
        var shift: UInt32 = 24
        while true {
            self.decimal(Int(bits &>> shift & 0xff))
            guard shift > 0 else { return }
            self.append(UInt8.dot)
            shift &-= 8
        }
    }
}
