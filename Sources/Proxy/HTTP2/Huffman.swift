// SPDX-License-Identifier: Apache-2.0
// request path

import BasicContainers
import Common

/// Decodes the Huffman code of HPACK, half a byte at a time.
///
/// A state machine that is made once: a state is an inner node of the code's tree, and each half byte leads to the next
/// state and yields one symbol at most, since no code is shorter than five bits.
///
/// - Source: RFC 7541 §5.2 and appendix B.
package final class HuffmanDecoder: Sendable {
    /// The decoder of everybody.
    ///
    /// Whoever decodes often keeps a reference: asking here costs a look at whether it was made.
    package static let shared = HuffmanDecoder()

    /// Entries: the symbol in the low byte, then the flags, then the next state from bit 16 on.
    private let transitions: [UInt32]

    private static var emits: UInt32 { 0x100 }
    /// The input may end here: nothing is pending but a beginning of the end-of-string code, shorter than a byte.
    private static var accepts: UInt32 { 0x200 }
    private static var fails: UInt32 { 0x400 }

    private init() { self.transitions = Self.makeTransitions() }

    /// Appends what `input` stands for to `out`.
    ///
    /// - Returns: `false` when the padding is wrong or the end-of-string symbol is in it.
    func decode(_ input: RawSpan, into out: inout UniqueArray<UInt8>) -> Bool {
        let count = input.byteCount
        let transitions = self.transitions
        var state = 0
        var last = Self.accepts
        // No symbol has less than five bits.
        out.append(addingCount: count &* 8 / 5 &+ 1) { target in
            for index in 0..<count {
                let byte = Int(input.byte(at: index))
                let high = transitions[state &* 16 &+ byte &>> 4]
                if high & Self.emits != 0 { target.append(UInt8(truncatingIfNeeded: high)) }
                let low = transitions[Int(high &>> 16) &* 16 &+ byte & 15]
                if low & Self.emits != 0 { target.append(UInt8(truncatingIfNeeded: low)) }
                last = low | high & Self.fails
                if last & Self.fails != 0 { return }
                state = Int(low &>> 16)
            }
        }
        return last & (Self.fails | Self.accepts) == Self.accepts
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

    private static let endOfString = 256

    /// A node of the code's tree: where a 0 and a 1 lead to, or the symbol of a leaf.
    private struct Node {
        var next: [Int?] = [nil, nil]
        var symbol: Int?
    }

    private static func makeTree() -> [Node] {
        var nodes = [Node()]
        var code: UInt32 = 0
        var length: UInt8 = 0
        for symbol in (0..<Self.lengths.count).sorted(by: { (Self.lengths[$0], $0) < (Self.lengths[$1], $1) }) {
            code <<= UInt32(Self.lengths[symbol] - length)
            length = Self.lengths[symbol]
            var node = 0
            for bit in (0..<UInt32(length)).reversed() {
                let side = Int(code >> bit & 1)
                if let next = nodes[node].next[side] {
                    node = next
                } else {
                    nodes.append(Node())
                    nodes[node].next[side] = nodes.count - 1
                    node = nodes.count - 1
                }
            }
            nodes[node].symbol = symbol
            code += 1
        }
        return nodes
    }

    private static func makeTransitions() -> [UInt32] {
        let nodes = Self.makeTree()
        // Padding is the beginning of the end-of-string code, which is all ones.
        var accepting: Set<Int> = [0]
        var node = 0
        for _ in 0..<7 {
            guard let next = nodes[node].next[1] else { break }
            node = next
            accepting.insert(node)
        }
        return nodes.indices.flatMap { state in
            (0..<16).map { half in Self.transition(from: state, half, nodes, accepting) }
        }
    }

    private static func transition(from state: Int, _ half: Int, _ nodes: [Node], _ accepting: Set<Int>) -> UInt32 {
        var node = state
        var entry: UInt32 = 0
        for bit in (0..<4).reversed() {
            guard let next = nodes[node].next[half >> bit & 1] else { return Self.fails }
            node = next
            guard let symbol = nodes[node].symbol else { continue }
            if symbol == Self.endOfString { return Self.fails }
            entry |= Self.emits | UInt32(symbol)
            node = 0
        }
        return entry | (accepting.contains(node) ? Self.accepts : 0) | UInt32(node) << 16
    }
}
