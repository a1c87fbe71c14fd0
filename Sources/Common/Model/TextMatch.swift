// SPDX-License-Identifier: Apache-2.0
// request path

/// One comparison that a rule makes with a part of a request: a header's value, the path, the query.
///
/// Compiled when the rule is published.
package enum TextMatch: Sendable {
    /// How two numbers are compared.
    package enum Comparison: Sendable {
        case greater, less, noLess, noGreater
    }

    /// A text to compare with; in lower case when letter case does not count.
    package struct Pattern: Sendable, Equatable {
        /// In lower case when letter case does not count.
        package let bytes: [UInt8]
        /// Whether ASCII letters count as equal in both cases.
        package let ignoresCase: Bool

        /// A pattern.
        package init(_ text: String, ignoresCase: Bool = false) {
            self.bytes = Array((ignoresCase ? text.lowercased() : text).utf8)
            self.ignoresCase = ignoresCase
        }
    }

    case exact(Pattern)
    case notEqual(Pattern)
    case contains(Pattern)
    case prefix(Pattern)
    case suffix(Pattern)
    /// A path that is the pattern, or goes on behind it with a slash: `/a` is the one of `/a` and `/a/b`, not of `/ab`.
    case segments(Pattern)
    /// Found anywhere in the text.
    case regex(RegularExpression)
    /// Both sides are whole decimal numbers and compare so.
    case number(Comparison, Int)
    /// Of a rule that cannot be understood: no request matches.
    case never

    /// Whether `text` is what the rule asks for.
    ///
    /// Cost: linear in the text, no allocation.
    package func matches(_ text: RawSpan) -> Bool {
        switch self {
        case .exact(let pattern): text.byteCount == pattern.bytes.count && pattern.isFound(in: text, at: 0)
        case .notEqual(let pattern): text.byteCount != pattern.bytes.count || !pattern.isFound(in: text, at: 0)
        case .contains(let pattern): pattern.isFound(in: text)
        case .prefix(let pattern): pattern.isFound(in: text, at: 0)
        case .suffix(let pattern): pattern.isFound(in: text, at: text.byteCount - pattern.bytes.count)
        case .segments(let pattern):
            pattern.isFound(in: text, at: 0)
                && (text.byteCount == pattern.bytes.count || text.byte(at: pattern.bytes.count) == UInt8(ascii: "/"))
        case .regex(let expression): expression.isFound(in: text)
        case .number(let comparison, let number):
            text.wholeNumber.map { Self.compare($0, comparison, number) } ?? false
        case .never: false
        }
    }

    private static func compare(_ left: Int, _ comparison: Comparison, _ right: Int) -> Bool {
        switch comparison {
        case .greater: left > right
        case .less: left < right
        case .noLess: left >= right
        case .noGreater: left <= right
        }
    }
}

extension TextMatch.Pattern {
    /// Whether the pattern stands in `text` at `offset`.
    fileprivate func isFound(in text: RawSpan, at offset: Int) -> Bool {
        guard offset >= 0, offset + self.bytes.count <= text.byteCount else { return false }
        for index in 0..<self.bytes.count {
            let byte = text.byte(at: offset &+ index)
            guard (self.ignoresCase ? byte.lowercased : byte) == self.bytes[index] else { return false }
        }
        return true
    }

    fileprivate func isFound(in text: RawSpan) -> Bool {
        var offset = 0
        while offset + self.bytes.count <= text.byteCount {
            if self.isFound(in: text, at: offset) { return true }
            offset += 1
        }
        return false
    }
}

extension RawSpan {
    /// The whole decimal number that the text is, with an optional sign; `nil` when it is anything else, or too large.
    package var wholeNumber: Int? {
        guard self.byteCount > 0 else { return nil }
        let first = self.byte(at: 0)
        let hasSign = first == UInt8(ascii: "-") || first == UInt8(ascii: "+")
        guard self.byteCount > (hasSign ? 1 : 0) else { return nil }
        // The least number has no positive counterpart.
        let isNegative = first == UInt8(ascii: "-")
        var value = 0
        for index in (hasSign ? 1 : 0)..<self.byteCount {
            let byte = self.byte(at: index)
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
            let (product, overflow) = value.multipliedReportingOverflow(by: 10)
            let digit = Int(byte &- UInt8(ascii: "0"))
            let (sum, carry) =
                isNegative
                ? product.subtractingReportingOverflow(digit) : product.addingReportingOverflow(digit)
            guard !overflow, !carry else { return nil }
            value = sum
        }
        return value
    }
}

extension TextMatch: CustomStringConvertible {
    /// As explanations show it: `= "text"`, `~ "expression"`.
    package var description: String {
        switch self {
        case .exact(let pattern): "= \(pattern)"
        case .notEqual(let pattern): "!= \(pattern)"
        case .contains(let pattern): "contains \(pattern)"
        case .prefix(let pattern): "begins with \(pattern)"
        case .suffix(let pattern): "ends with \(pattern)"
        case .segments(let pattern): "is below \(pattern)"
        case .regex(let expression): "~ \"\(expression.text)\""
        case .number(.greater, let number): "> \(number)"
        case .number(.less, let number): "< \(number)"
        case .number(.noLess, let number): ">= \(number)"
        case .number(.noGreater, let number): "<= \(number)"
        case .never: "matches nothing"
        }
    }
}

extension TextMatch.Pattern: CustomStringConvertible {
    /// In quotes.
    package var description: String {
        "\"\(String(decoding: self.bytes, as: UTF8.self))\"\(self.ignoresCase ? " in any letter case" : "")"
    }
}
