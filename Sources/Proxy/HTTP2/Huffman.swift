// SPDX-License-Identifier: Apache-2.0
// request path

import BasicContainers
import Common

/// Decodes the Huffman code of HPACK, a symbol at a time.
///
/// Nearly all that headers are made of has codes of five to eight bits: those are looked up by the next eight bits. The
/// rest is found by its length, as in any canonical code.
///
/// - Source: RFC 7541 §5.2 and appendix B.
package final class HuffmanDecoder: Sendable {
    /// The decoder of everybody.
    ///
    /// Whoever decodes often keeps a reference: asking here costs a look at whether it was made.
    package static let shared = HuffmanDecoder()

    /// By the next eight bits: the symbol in the low byte and the length of its code above; 0 where it is longer.
    private let short: [UInt16]
    /// The symbols in the order of their codes.
    private let symbols: [Int]
    /// The codes of each length; the first of them, and where its symbol stands.
    private let groups: [(length: Int, first: Int, count: Int, start: Int)]

    private init() {
        var short = [UInt16](repeating: 0, count: 256)
        var groups: [(length: Int, first: Int, count: Int, start: Int)] = []
        let symbols = Self.lengths.indices.sorted { (Self.lengths[$0], $0) < (Self.lengths[$1], $1) }
        var code = 0
        var length = 0
        for (place, symbol) in symbols.enumerated() {
            code <<= Int(Self.lengths[symbol]) - length
            if length != Int(Self.lengths[symbol]) {
                length = Int(Self.lengths[symbol])
                groups.append((length, code, 0, place))
            }
            groups[groups.count - 1].count += 1
            if length <= 8 {
                let first = code << (8 - length)
                for window in first..<first + 1 << (8 - length) { short[window] = UInt16(length << 8 | symbol) }
            }
            code += 1
        }
        self.short = short
        self.symbols = symbols
        self.groups = groups.filter { $0.length > 8 }
    }

    /// Appends what `input` stands for to `out`.
    ///
    /// - Returns: `false` when the padding is wrong or the end-of-string symbol is in it.
    func decode(_ input: RawSpan, into out: inout UniqueArray<UInt8>) -> Bool {
        let count = input.byteCount
        let short = self.short
        // The bits that were read and not used yet are the lowest `available` ones.
        var bits: UInt64 = 0
        var available = 0
        var offset = 0
        var isSound = true
        // No symbol has less than five bits.
        out.append(addingCount: count &* 8 / 5 &+ 1) { target in
            while true {
                if available < 32 {
                    if offset &+ 4 <= count {
                        bits = bits &<< 32 | UInt64(input.uint32(at: offset))
                        offset &+= 4
                        available &+= 32
                    } else {
                        while offset < count {
                            bits = bits &<< 8 | UInt64(input.byte(at: offset))
                            offset &+= 1
                            available &+= 8
                        }
                        if available < 8 { break }
                    }
                }
                let entry = short[Int(truncatingIfNeeded: bits &>> UInt64(available &- 8)) & 0xff]
                if entry != 0 {
                    target.append(UInt8(truncatingIfNeeded: entry))
                    available &-= Int(entry &>> 8)
                } else if let symbol = self.longSymbol(bits, &available) {
                    target.append(symbol)
                } else {
                    isSound = false
                    return
                }
            }
            // What is left is a last symbol, and padding: the beginning of the end-of-string code, which is all ones.
            while available > 0 {
                let ones = UInt64(1) &<< UInt64(8 &- available) &- 1
                let entry = short[Int(truncatingIfNeeded: bits &<< UInt64(8 &- available) | ones) & 0xff]
                guard entry != 0, Int(entry &>> 8) <= available else { break }
                target.append(UInt8(truncatingIfNeeded: entry))
                available &-= Int(entry &>> 8)
            }
            let left = UInt64(1) &<< UInt64(available) &- 1
            isSound = bits & left == left
        }
        return isSound
    }

    /// The symbol of more than eight bits that comes next; `nil` when there is none, or when it is the end of the string.
    @inline(never)
    private func longSymbol(_ bits: UInt64, _ available: inout Int) -> UInt8? {
        for group in self.groups where group.length <= available {
            let code = Int(truncatingIfNeeded: bits &>> UInt64(available &- group.length)) & (1 &<< group.length &- 1)
            let index = code &- group.first
            guard index < group.count else { continue }
            guard index >= 0 else { return nil }
            available &-= group.length
            // 256 is the end of the string.
            return UInt8(exactly: self.symbols[group.start &+ index])
        }
        return nil
    }

    // MARK: The code

    /// The lengths of the codes in bits, by symbol; 256 is the end of the string.
    ///
    /// The code is canonical: shorter codes come first, and codes of one length in the order of their symbols. So the
    /// lengths are all there is to know.
    private static let lengths: [UInt8] = [
        13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28,
        28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15,
        6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
        15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22,
        20,
        20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23,
        24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22,
        22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27,
        24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26,
        26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
    ]
}
