// SPDX-License-Identifier: Apache-2.0

import Common

/// Checks a JSON text, and notes where each value is.
///
/// Pure; it neither traps nor recurses deeper than ``deepest``, whatever the bytes are.
struct JSONParser {
    /// Where a value, or the name of a member, stands.
    struct Entry {
        let start: UInt32
        var end: UInt32
        /// The number of the entry behind all that is inside.
        var next: UInt32
    }

    /// Values and names of one text: a pod of three megabytes has a tenth.
    static let mostValues = 1_000_000
    /// Objects and lists inside one another.
    static let deepest = 100

    private let bytes: [UInt8]
    private var index = 0
    private(set) var tape: [Entry] = []

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
        self.tape.reserveCapacity(bytes.count / 24)
    }

    mutating func parse() throws(JSONMistake) {
        guard self.bytes.count <= Int(UInt32.max) else { throw JSONMistake(problem: "it is too long", offset: 0) }
        try self.value(depth: 1)
        self.skipBlanks()
        guard self.index == self.bytes.count else { throw self.mistake("something stands behind the end") }
    }

    private func mistake(_ problem: String) -> JSONMistake { JSONMistake(problem: problem, offset: self.index) }

    private var byte: UInt8? { self.index < self.bytes.count ? self.bytes[self.index] : nil }

    private mutating func skipBlanks() {
        while let byte = self.byte, byte == .space || byte == .lineFeed || byte == .carriageReturn || byte == .tab {
            self.index += 1
        }
    }

    private mutating func take(_ wanted: UInt8) -> Bool {
        guard self.byte == wanted else { return false }
        self.index += 1
        return true
    }

    private mutating func value(depth: Int) throws(JSONMistake) {
        self.skipBlanks()
        guard let first = self.byte else { throw self.mistake("it ends too early") }
        guard self.tape.count < Self.mostValues else { throw self.mistake("more than \(Self.mostValues) values") }
        let place = self.tape.count
        self.tape.append(Entry(start: UInt32(self.index), end: 0, next: 0))
        switch first {
        case .leftBrace, .leftBracket:
            guard depth <= Self.deepest else { throw self.mistake("nested deeper than \(Self.deepest) levels") }
            try first == .leftBrace ? self.object(depth) : self.list(depth)
        case .quote: try self.string()
        case 0x2d, 0x30...0x39: try self.number()
        default: try self.word()
        }
        self.tape[place].end = UInt32(self.index)
        self.tape[place].next = UInt32(self.tape.count)
    }

    private mutating func object(_ depth: Int) throws(JSONMistake) {
        self.index += 1
        self.skipBlanks()
        if self.take(.rightBrace) { return }
        while true {
            self.skipBlanks()
            guard self.byte == .quote else { throw self.mistake("the name of a member is missing") }
            try self.value(depth: depth + 1)
            self.skipBlanks()
            guard self.take(.colon) else { throw self.mistake("a colon is missing") }
            try self.value(depth: depth + 1)
            self.skipBlanks()
            if self.take(.rightBrace) { return }
            guard self.take(.comma) else { throw self.mistake("a comma or } is missing") }
        }
    }

    private mutating func list(_ depth: Int) throws(JSONMistake) {
        self.index += 1
        self.skipBlanks()
        if self.take(.rightBracket) { return }
        while true {
            try self.value(depth: depth + 1)
            self.skipBlanks()
            if self.take(.rightBracket) { return }
            guard self.take(.comma) else { throw self.mistake("a comma or ] is missing") }
        }
    }

    private mutating func string() throws(JSONMistake) {
        self.index += 1
        while let byte = self.byte {
            self.index += 1
            switch byte {
            case .quote: return
            case .backslash: try self.escape()
            case 0..<0x20:
                self.index -= 1
                throw self.mistake("a control character stands in a text")
            default: break
            }
        }
        throw self.mistake("a text does not end")
    }

    private mutating func escape() throws(JSONMistake) {
        guard let byte = self.byte else { throw self.mistake("a text does not end") }
        self.index += 1
        switch byte {
        case .quote, .backslash, .slash, 0x62, 0x66, 0x6e, 0x72, 0x74: return
        case 0x75:
            for _ in 0..<4 {
                guard let digit = self.byte, digit.hexValue < 16 else { throw self.mistake("\\u wants four digits") }
                self.index += 1
            }
        default: throw self.mistake("there is no such escape")
        }
    }

    private mutating func digits() throws(JSONMistake) {
        guard self.byte?.isDigit == true else { throw self.mistake("a digit is missing") }
        while self.byte?.isDigit == true { self.index += 1 }
    }

    private mutating func number() throws(JSONMistake) {
        _ = self.take(0x2d)
        if !self.take(0x30) { try self.digits() }
        if self.take(.dot) { try self.digits() }
        if self.byte == 0x65 || self.byte == 0x45 {
            self.index += 1
            if self.byte == 0x2b || self.byte == 0x2d { self.index += 1 }
            try self.digits()
        }
    }

    private mutating func word() throws(JSONMistake) {
        let words = ["true", "false", "null"]
        guard let word = words.first(where: { self.bytes[self.index...].starts(with: $0.utf8) }) else {
            throw self.mistake("no value begins so")
        }
        self.index += word.utf8.count
    }

    // MARK: Texts

    /// What stands between the quotes of a text that was checked.
    static func text(_ content: ArraySlice<UInt8>) -> String {
        guard content.contains(.backslash) else { return String(decoding: content, as: UTF8.self) }
        var rest = content
        var bytes: [UInt8] = []
        while let byte = rest.popFirst() {
            guard byte == .backslash, let escape = rest.popFirst() else {
                bytes.append(byte)
                continue
            }
            switch escape {
            case 0x62: bytes.append(0x08)
            case 0x66: bytes.append(0x0c)
            case 0x6e: bytes.append(.lineFeed)
            case 0x72: bytes.append(.carriageReturn)
            case 0x74: bytes.append(.tab)
            case 0x75: bytes.append(contentsOf: String(self.scalar(&rest)).utf8)
            default: bytes.append(escape)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func unit(_ rest: ArraySlice<UInt8>) -> UInt32 {
        rest.prefix(4).reduce(0) { $0 << 4 | UInt32($1.hexValue) }
    }

    /// The character behind `\u`; half of a pair alone is U+FFFD.
    private static func scalar(_ rest: inout ArraySlice<UInt8>) -> Unicode.Scalar {
        let high = self.unit(rest)
        rest = rest.dropFirst(4)
        if 0xd800..<0xdc00 ~= high, rest.starts(with: [.backslash, 0x75]) {
            let low = self.unit(rest.dropFirst(2))
            if 0xdc00..<0xe000 ~= low {
                rest = rest.dropFirst(6)
                return Unicode.Scalar(0x10000 + (high - 0xd800) << 10 + (low - 0xdc00)) ?? "\u{fffd}"
            }
        }
        return Unicode.Scalar(high) ?? "\u{fffd}"
    }
}
