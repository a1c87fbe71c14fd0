// SPDX-License-Identifier: Apache-2.0

import Common

/// A JSON text that was checked once and is looked at where it lies: nothing of it is copied until it is asked for.
///
/// What fields it has is nobody's business here, so those of future versions do no harm.
///
/// Cost: 12 bytes for each value and key.
package final class JSONDocument: Sendable {
    let bytes: [UInt8]
    let tape: [JSONParser.Entry]

    /// Reads a whole text.
    ///
    /// Any bytes may come: what they cost is bounded.
    ///
    /// - Source: RFC 8259; bytes that are no UTF-8 are replaced when a text is asked for, as Go does.
    package init(_ bytes: [UInt8]) throws(JSONMistake) {
        var parser = JSONParser(bytes)
        try parser.parse()
        self.bytes = bytes
        self.tape = parser.tape
    }

    /// The outermost value.
    package var root: JSONValue { JSONValue(document: self, index: 0) }
}

/// What is wrong with a JSON text.
package struct JSONMistake: Error, Equatable {
    /// In words.
    package let problem: String
    /// The number of the byte, from 0.
    package let offset: Int
}

/// A value within a document.
package struct JSONValue: Sendable {
    private let document: JSONDocument
    private let index: Int

    init(document: JSONDocument, index: Int) {
        self.document = document
        self.index = index
    }

    private var entry: JSONParser.Entry { self.document.tape[self.index] }
    private var first: UInt8 { self.document.bytes[Int(self.entry.start)] }

    /// Whether it is an object.
    package var isObject: Bool { self.first == .leftBrace }
    /// Whether it is a list.
    package var isList: Bool { self.first == .leftBracket }
    /// Whether it is a text.
    package var isText: Bool { self.first == .quote }
    /// Whether it is `null`.
    package var isNull: Bool { self.first == 0x6e }
    /// Whether it is an object or list with nothing in it.
    var isEmpty: Bool { Int(self.entry.next) == self.index + 1 }

    /// `true` or `false`; `nil` for anything else.
    package var flag: Bool? { self.first == 0x74 ? true : self.first == 0x66 ? false : nil }

    /// The integer; `nil` for anything else.
    package var integer: Int? { self.isText ? nil : Int(self.raw) }

    /// What stands there, as it is written.
    package var raw: String {
        String(decoding: self.document.bytes[Int(self.entry.start)..<Int(self.entry.end)], as: UTF8.self)
    }

    /// The text; `nil` when it is none.
    package var text: String? {
        guard self.isText else { return nil }
        return JSONParser.text(self.document.bytes[(Int(self.entry.start) + 1)..<(Int(self.entry.end) - 1)])
    }

    /// The elements of a list; empty for anything else.
    package var elements: [JSONValue] {
        guard self.isList else { return [] }
        var found: [JSONValue] = []
        self.eachChild { found.append($0) }
        return found
    }

    /// The members of an object in their order; empty for anything else.
    package var members: [(name: String, value: JSONValue)] {
        guard self.isObject else { return [] }
        var found: [(name: String, value: JSONValue)] = []
        var name: JSONValue?
        self.eachChild { child in
            if let known = name {
                found.append((known.text ?? "", child))
                name = nil
            } else {
                name = child
            }
        }
        return found
    }

    /// A member of an object, the last one of its name; `nil` when there is none, or when it is `null`.
    package subscript(name: String) -> JSONValue? {
        guard self.isObject else { return nil }
        var found: JSONValue?
        var key: JSONValue?
        self.eachChild { child in
            if let known = key {
                if known.isText(name) { found = child }
                key = nil
            } else {
                key = child
            }
        }
        return found.flatMap { $0.isNull ? nil : $0 }
    }

    private func isText(_ text: String) -> Bool {
        let content = self.document.bytes[(Int(self.entry.start) + 1)..<(Int(self.entry.end) - 1)]
        return content.elementsEqual(text.utf8) || content.contains(.backslash) && self.text == text
    }

    private func eachChild(_ body: (JSONValue) -> Void) {
        let end = Int(self.entry.next)
        var index = self.index + 1
        while index < end {
            body(JSONValue(document: self.document, index: index))
            index = Int(self.document.tape[index].next)
        }
    }
}
