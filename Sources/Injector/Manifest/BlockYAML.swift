// SPDX-License-Identifier: Apache-2.0

import Common

/// Writes values as YAML that every reader, of version 1.1 or 1.2, understands in the same way.
enum BlockYAML {
    /// The lines of a key and its value.
    ///
    /// - Parameter column: That of the key, from 0.
    static func member(_ name: String, _ value: OrderedJSON, column: Int) -> [String] {
        let key = Self.blanks(column) + Self.scalar(.string(name)) + ":"
        let lines = Self.lines(value, column: column + 2)
        return lines.isEmpty ? ["\(key) \(Self.scalar(value))"] : [key] + lines
    }

    /// The lines of an element of a list.
    ///
    /// - Parameter column: That of its dash, from 0.
    static func element(_ value: OrderedJSON, column: Int) -> [String] {
        let start = Self.blanks(column) + "- "
        var lines = Self.lines(value, column: column + 2)
        if lines.isEmpty { return [start + Self.scalar(value)] }
        lines[0] = start + lines[0].dropFirst(column + 2)
        return lines
    }

    /// The lines of a list or map; none for an empty one, and for anything else.
    static func lines(_ value: OrderedJSON, column: Int) -> [String] {
        switch value {
        case .object(let members): members.flatMap { Self.member($0.0, $0.1, column: column) }
        case .array(let elements): elements.flatMap { Self.element($0, column: column) }
        default: []
        }
    }

    /// A value in one line: JSON, but for words that need no quotes.
    static func scalar(_ value: OrderedJSON) -> String {
        if case .string(let text) = value, Self.isPlain(text) { return text }
        return value.line
    }

    /// JSON with blanks as people write them.
    static func flow(_ value: OrderedJSON) -> String {
        switch value {
        case .object(let members):
            "{\(members.map { "\(Self.quoted($0.0)): \(Self.flow($0.1))" }.joined(separator: ", "))}"
        case .array(let elements): "[\(elements.map(Self.flow).joined(separator: ", "))]"
        default: value.line
        }
    }

    /// A text in quotes.
    static func quoted(_ text: String) -> String { OrderedJSON.string(text).line }

    private static func blanks(_ count: Int) -> String { String(repeating: " ", count: count) }

    /// What YAML 1.1 takes for something else than a text.
    private static let words: Set<String> = ["y", "yes", "n", "no", "on", "off", "true", "false", "null"]

    /// Whether it is a text without quotes as well, to everybody.
    private static func isPlain(_ text: String) -> Bool {
        guard let first = text.utf8.first, first.isLetter || first == 0x2f else { return false }
        return text.utf8.allSatisfy { $0.isLetter || $0.isDigit || [0x2d, 0x2e, 0x2f, 0x5f].contains($0) }
            && !Self.words.contains(text.lowercased())
    }
}

extension UInt8 {
    fileprivate var isLetter: Bool { (self | 0x20) &- 0x61 < 26 }
}
