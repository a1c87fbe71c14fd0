// SPDX-License-Identifier: Apache-2.0

/// What stands in place of everything in a path that an expression finds.
///
/// - Source: `regex_rewrite` of Envoy's routes; `RE2::GlobalReplace`.
package final class PatternRewrite: Sendable, Equatable {
    /// What is found.
    private let expression: RegularExpression
    /// What stands in its place, as it was written.
    package let substitution: String
    private let parts: [Part]
    /// How many groups the parts ask for, the whole match among them.
    private let groupCount: Int

    private enum Part {
        case text([UInt8])
        /// 0 for the whole match.
        case group(Int)
    }

    /// A rewrite.
    ///
    /// - Parameter substitution: `\1` to `\9` stand for groups of the match, `\0` for all of it, `\\` for a backslash.
    /// - Throws: What is wrong with one of them.
    package init(_ pattern: String, _ substitution: String) throws(ConfigMistake) {
        let expression = try RegularExpression(pattern)
        self.expression = expression
        self.substitution = substitution
        var parts: [Part] = []
        var text: [UInt8] = []
        var highest = 0
        var bytes = substitution.utf8.makeIterator()
        while let byte = bytes.next() {
            guard byte > 0x20, byte < 0x7f, byte != UInt8(ascii: "#") else {
                throw ConfigMistake(
                    "\"\(substitution)\" cannot stand in a path", remedy: "write other characters as %20")
            }
            guard byte == UInt8(ascii: "\\") else {
                text.append(byte)
                continue
            }
            guard let next = bytes.next(), next == byte || next.isDigit else {
                throw ConfigMistake(
                    "a backslash in \"\(substitution)\" stands before nothing that it can stand before",
                    remedy: "write a digit behind it, or another backslash")
            }
            if next == byte {
                text.append(byte)
                continue
            }
            if !text.isEmpty { parts.append(.text(text)) }
            text = []
            parts.append(.group(Int(next - UInt8(ascii: "0"))))
            highest = max(highest, Int(next - UInt8(ascii: "0")))
        }
        if !text.isEmpty { parts.append(.text(text)) }
        guard highest <= expression.groupCount else {
            throw ConfigMistake(
                "\"\(substitution)\" asks for group \(highest), \"\(pattern)\" has \(expression.groupCount)",
                remedy: "put what is meant in parentheses")
        }
        self.parts = parts
        self.groupCount = highest + 1
    }

    /// As it was written.
    package var pattern: String { self.expression.text }

    /// Whether both were written alike.
    package static func == (left: PatternRewrite, right: PatternRewrite) -> Bool {
        left.expression.text == right.expression.text && left.substitution == right.substitution
    }

    /// The text with everything replaced.
    ///
    /// Cost: linear in the text, and two arrays.
    ///
    /// - Parameter text: At least one byte.
    package func rewrite(_ text: RawSpan) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(text.byteCount + self.substitution.utf8.count)
        var spans = Array(repeating: 0, count: 2 * self.groupCount)
        var start = 0
        var lastEnd = -1
        while start <= text.byteCount, self.expression.find(in: text, from: start, &spans) {
            let (begin, end) = (spans[0], spans[1])
            text.append(start..<begin, to: &result)
            if begin == end, begin == lastEnd {
                // Nothing is found once more where the last match has ended: it goes on behind the next character.
                var next = begin
                repeat {
                    if next < text.byteCount { result.append(text.byte(at: next)) }
                    next += 1
                } while next < text.byteCount && text.byte(at: next) & 0xC0 == 0x80
                start = next
                continue
            }
            for part in self.parts {
                switch part {
                case .text(let bytes): result.append(contentsOf: bytes)
                case .group(let number) where spans[2 * number] >= 0:
                    text.append(spans[2 * number]..<spans[2 * number + 1], to: &result)
                case .group: break
                }
            }
            start = end
            lastEnd = end
        }
        if start < text.byteCount { text.append(start..<text.byteCount, to: &result) }
        return result
    }
}
