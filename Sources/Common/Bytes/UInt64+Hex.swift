// SPDX-License-Identifier: Apache-2.0
// request path

/// Hexadecimal digits, eight at a time: the ids of traces, which are read and written for every request.
extension UInt64 {
    /// The first eight of the 16 hexadecimal digits as their ASCII codes, the first digit in the lowest byte.
    @inlinable @inline(__always)
    package var highHexDigits: UInt64 { Self.hexDigits(self &>> 32) }

    /// The last eight digits, likewise.
    @inlinable @inline(__always)
    package var lowHexDigits: UInt64 { Self.hexDigits(self & 0xffff_ffff) }

    /// The eight digits of a number below 2³².
    ///
    /// Halves are moved apart until each has a byte of its own, then each byte becomes its code.
    @inlinable @inline(__always)
    static func hexDigits(_ half: UInt64) -> UInt64 {
        var word = (half &>> 16) | (half & 0xffff) &<< 32
        word = (word & 0x0000_ff00_0000_ff00) &>> 8 | (word & 0x0000_00ff_0000_00ff) &<< 16
        word = (word & 0x00f0_00f0_00f0_00f0) &>> 4 | (word & 0x000f_000f_000f_000f) &<< 8
        let letters = ((word &+ 0x0606_0606_0606_0606) &>> 4) & 0x0101_0101_0101_0101
        return (word &+ 0x3030_3030_3030_3030) &+ letters &* 0x27
    }

    /// The number whose eight hexadecimal digits, of either case, are the bytes of `word`, the first digit in the lowest
    /// one; `nil` when they are something else.
    @inlinable @inline(__always)
    package init?(hexDigits word: UInt64) {
        // A letter has bit 6, and its value is 9 more than its low half.
        let letters = word &>> 6 & 0x0101_0101_0101_0101
        var half = ((word & 0x0f0f_0f0f_0f0f_0f0f) &+ letters &* 9).byteSwapped
        half = (half | half &>> 4) & 0x00ff_00ff_00ff_00ff
        half = (half | half &>> 8) & 0x0000_ffff_0000_ffff
        half = (half | half &>> 16) & 0xffff_ffff
        // Only digits come out again as they went in, but for the case of letters.
        guard Self.hexDigits(half) == word | letters &<< 5 else { return nil }
        self = half
    }
}
