// SPDX-License-Identifier: Apache-2.0
// request path

/// Reading bytes from a span.
///
/// `RawSpan` calls its loads unsafe because of the type, not because of the place: each one checks its bounds and traps
/// rather than reads outside. Any bit pattern is a valid integer, so for bytes and words they are safe, and this file
/// says so once for all codecs.
extension RawSpan {
    /// The byte at `offset`.
    @inlinable @inline(__always)
    package func byte(at offset: Int) -> UInt8 {
        unsafe self.unsafeLoad(fromByteOffset: offset, as: UInt8.self)
    }

    /// Eight bytes from `offset` on, the first one lowest.
    @inlinable @inline(__always)
    package func word(at offset: Int) -> UInt64 {
        UInt64(littleEndian: unsafe self.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }

    /// Four bytes from `offset` on as a number, the first one highest.
    @inlinable @inline(__always)
    package func uint32(at offset: Int) -> UInt32 {
        UInt32(bigEndian: unsafe self.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }

    /// Whether the bytes from `offset` on are `text`, which must be lower case, when ASCII letters are read as lower
    /// case too.
    ///
    /// Only for names made of letters, digits and `-`, compared with bytes that were found to be token characters: for
    /// those, setting bit 5 changes nothing but the case of letters.
    @inlinable @inline(__always)
    package func matches(_ text: StaticString, at offset: Int) -> Bool {
        let count = text.utf8CodeUnitCount
        guard offset >= 0, count <= self.byteCount - offset else { return false }
        let expected = unsafe RawSpan(_unsafeStart: text.utf8Start, byteCount: count)
        // The last word overlaps the one before: cheaper than the bytes that are left over one by one.
        if count >= 8 {
            var index = 0
            while index &+ 8 < count {
                if self.word(at: offset &+ index) | 0x2020_2020_2020_2020 != expected.word(at: index) { return false }
                index &+= 8
            }
            return self.word(at: offset &+ count &- 8) | 0x2020_2020_2020_2020 == expected.word(at: count &- 8)
        }
        if count >= 4 {
            return self.uint32(at: offset) | 0x2020_2020 == expected.uint32(at: 0)
                && self.uint32(at: offset &+ count &- 4) | 0x2020_2020 == expected.uint32(at: count &- 4)
        }
        for index in 0..<count where self.byte(at: offset &+ index) | 0x20 != expected.byte(at: index) { return false }
        return true
    }

    /// The bytes as text, each byte that is no UTF-8 replaced.
    ///
    /// Off the fast path: it allocates.
    package func string(in range: Range<Int>) -> String {
        unsafe self.extracting(range).withUnsafeBytes { unsafe String(decoding: $0, as: UTF8.self) }
    }
}

extension RawSpan {
    /// Appends a copy of the bytes of `range` to `out`.
    @inline(__always)
    package func append(_ range: Range<Int>, to out: inout [UInt8]) {
        unsafe self.extracting(range).withUnsafeBytes { unsafe out.append(contentsOf: $0) }
    }
}

extension [UInt8] {
    /// The elements as raw bytes, without a copy.
    @inlinable
    package var rawSpan: RawSpan {
        @_lifetime(borrow self)
        borrowing get { unsafe self.span.bytes }  // unsafe for types with padding only
    }
}

extension OutputRawSpan {
    /// Appends a copy of `bytes`; traps when there is no room.
    @inlinable @inline(__always)
    package mutating func append(_ bytes: RawSpan) {
        let count = bytes.byteCount
        precondition(count <= self.freeCapacity, "no room for the bytes")
        unsafe bytes.withUnsafeBytes { source in
            guard let start = source.baseAddress else { return }
            unsafe self.withUnsafeMutableBytes { buffer, used in
                unsafe buffer.baseAddress?.advanced(by: used).copyMemory(from: start, byteCount: count)
                used &+= count
            }
        }
    }

    /// Appends the bytes of `text`; traps when there is no room.
    @inlinable @inline(__always)
    package mutating func append(_ text: StaticString) {
        self.append(unsafe RawSpan(_unsafeStart: text.utf8Start, byteCount: text.utf8CodeUnitCount))
    }
}

extension RawSpan {
    /// Whether the bytes are exactly these.
    package func isEqual(to bytes: [UInt8]) -> Bool {
        guard self.byteCount == bytes.count else { return false }
        for index in 0..<bytes.count where self.byte(at: index) != bytes[index] { return false }
        return true
    }
}

extension RawSpan {
    /// Whether the bytes are the same as those of `other`.
    @inlinable @inline(__always)
    package func isEqual(to other: RawSpan) -> Bool {
        let count = self.byteCount
        guard count == other.byteCount else { return false }
        var index = 0
        while index &+ 8 <= count {
            if self.word(at: index) != other.word(at: index) { return false }
            index &+= 8
        }
        while index < count {
            if self.byte(at: index) != other.byte(at: index) { return false }
            index &+= 1
        }
        return true
    }
}

extension UInt16 {
    /// Reads a decimal number: digits only, at most 65535; `nil` for anything else.
    package init?(decimal bytes: RawSpan) {
        guard 1...5 ~= bytes.byteCount else { return nil }
        var value = 0
        for index in 0..<bytes.byteCount {
            let byte = bytes.byte(at: index)
            guard byte.isDigit else { return nil }
            value = value &* 10 &+ Int(byte &- 0x30)
        }
        self.init(exactly: value)
    }
}
