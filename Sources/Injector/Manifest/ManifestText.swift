// SPDX-License-Identifier: Apache-2.0

import Common

/// The text of one YAML document, into which values are inserted: all else of it stays octet for octet.
struct ManifestText {
    /// Octets, and what stands in their place.
    private struct Edit {
        let range: Range<Int>
        let text: String
        /// Of what is inserted: at one place what is deeper comes first.
        var column = 0
        /// Elements of a list come before the next key, which may have the same column.
        var isElement = false
    }

    private let bytes: [UInt8]
    private let root: YAMLMarks
    private let lineEnd: String
    private var edits: [Edit] = []
    /// Aliases that have become maps, by where they stand.
    private var merged: Set<Int> = []

    /// - Parameter bytes: Of a document that was read already; `nil` when its places are not known.
    init?(_ bytes: [UInt8]) {
        guard let root = YAMLMarks.document(bytes) else { return nil }
        self.bytes = bytes
        self.root = root
        let first = bytes.firstIndex(of: .lineFeed)
        self.lineEnd = first.map { $0 > 0 && bytes[$0 - 1] == .carriageReturn } ?? false ? "\r\n" : "\n"
    }

    /// The text with everything that was added.
    var result: [UInt8] {
        let order = self.edits.enumerated().sorted { left, right in
            let (one, other) = (left.element, right.element)
            if one.range.lowerBound != other.range.lowerBound { return one.range.lowerBound < other.range.lowerBound }
            if one.column != other.column { return one.column > other.column }
            if one.isElement != other.isElement { return one.isElement }
            return left.offset < right.offset
        }
        var result: [UInt8] = []
        var index = 0
        for (_, edit) in order {
            result += self.bytes[index..<max(index, edit.range.lowerBound)]
            result += edit.text.utf8
            index = max(index, edit.range.upperBound)
        }
        return result + self.bytes[index...]
    }

    // MARK: Additions

    /// Adds a value, as RFC 6902 has it; paths are those of the text as it was.
    ///
    /// - Returns: Whether there is a place for it in the text.
    mutating func add(_ value: OrderedJSON, at path: [String]) -> Bool {
        guard let name = path.last else { return false }
        var node = self.root
        var owner: (member: YAMLMarks.Member, isFlow: Bool)?
        for name in path.dropLast() {
            switch node.kind {
            case .map:
                guard let member = node.member(name) else { return false }
                owner = (member, node.isFlow)
                node = member.value
            case .list(let elements):
                guard let index = Int(name), elements.indices.contains(index) else { return false }
                owner = nil
                node = elements[index]
            case .text, .alias: return false
            }
        }
        switch node.kind {
        case .map(let members):
            if let present = node.member(name) { return self.replace(present, isFlow: node.isFlow, value) }
            return self.insert(name, value, in: node, members)
        case .list(let elements):
            return node.isFlow
                ? self.insertFlow(value, at: name, in: node, elements)
                : self.insert(value, at: name, in: node, elements, key: owner?.member.key)
        case .alias(let anchor):
            guard let owner, !owner.isFlow else { return false }
            return self.merge(name, value, anchor, node, column: owner.member.key.column + 2)
        case .text: return false
        }
    }

    private mutating func insert(
        _ name: String, _ value: OrderedJSON, in map: YAMLMarks, _ members: [YAMLMarks.Member]
    ) -> Bool {
        if map.isFlow {
            guard self.bytes[map.end - 1] == .rightBrace else { return false }
            let text = "\(BlockYAML.quoted(name)): \(BlockYAML.flow(value))"
            self.insert(members.isEmpty ? text : ", \(text)", at: members.last?.value.end ?? map.end - 1)
            return true
        }
        guard let column = members.first?.key.column else { return false }
        self.insert(
            BlockYAML.member(name, value, column: column), behind: map.end, deeperThan: column - 1, column: column)
        return true
    }

    private mutating func insert(
        _ value: OrderedJSON, at name: String, in list: YAMLMarks, _ elements: [YAMLMarks], key: YAMLMarks?
    ) -> Bool {
        guard let first = elements.first, let column = list.isMarked ? self.dash(of: first) : list.column else {
            return false
        }
        let lines = BlockYAML.element(value, column: column)
        if name == "-" || name == "\(elements.count)" {
            self.insert(lines, behind: list.end, deeperThan: column, column: column, isElement: true)
            return true
        }
        // In front of the first: right behind the key, so that comments stay with what they are about.
        guard name == "0", let key else { return false }
        let start = self.nextLine(key.end)
        guard start <= (list.isMarked ? first.start : list.start) else { return false }
        self.insert(lines, atLine: start, column: column, isElement: true)
        return true
    }

    private mutating func insertFlow(
        _ value: OrderedJSON, at name: String, in list: YAMLMarks, _ elements: [YAMLMarks]
    ) -> Bool {
        guard self.bytes[list.end - 1] == .rightBracket else { return false }
        let text = BlockYAML.flow(value)
        guard let first = elements.first, let last = elements.last else {
            self.insert(text, at: list.end - 1)
            return true
        }
        if name == "-" || name == "\(elements.count)" {
            self.insert(", \(text)", at: last.end)
        } else if name == "0" {
            self.insert("\(text), ", at: first.start)
        } else {
            return false
        }
        return true
    }

    /// Puts a value in the place of one that is nothing, or a text.
    private mutating func replace(_ present: YAMLMarks.Member, isFlow: Bool, _ value: OrderedJSON) -> Bool {
        let old = present.value
        guard !old.isMarked, !self.bytes[old.start..<old.end].contains(.lineFeed) else { return false }
        switch old.kind {
        case .text: break
        case .list(let elements) where elements.isEmpty: break
        case .map(let members) where members.isEmpty: break
        default: return false
        }
        let lines = isFlow ? [] : BlockYAML.lines(value, column: present.key.column + 2)
        if lines.isEmpty {
            let text = isFlow ? BlockYAML.flow(value) : BlockYAML.scalar(value)
            self.edits.append(Edit(range: old.start..<old.end, text: old.start == old.end ? " \(text)" : text))
            return true
        }
        self.remove(old)
        self.insert(lines, behind: old.end, deeperThan: .max, column: present.key.column + 2)
        return true
    }

    /// Makes a map of an alias, which has the keys of what it stood for, and more.
    private mutating func merge(
        _ name: String, _ value: OrderedJSON, _ anchor: String, _ alias: YAMLMarks, column: Int
    ) -> Bool {
        var lines = BlockYAML.member(name, value, column: column)
        if self.merged.insert(alias.start).inserted {
            self.remove(alias)
            lines.insert(String(repeating: " ", count: column) + "<<: *\(anchor)", at: 0)
        }
        self.insert(lines, behind: alias.end, deeperThan: .max, column: column)
        return true
    }

    // MARK: Places

    private mutating func insert(_ text: String, at index: Int) {
        self.edits.append(Edit(range: index..<index, text: text))
    }

    /// Takes a value away, and the blanks before it.
    private mutating func remove(_ value: YAMLMarks) {
        var start = value.start
        while start > 0, self.bytes[start - 1] == .space { start -= 1 }
        self.edits.append(Edit(range: start..<value.end, text: "", column: .max))
    }

    /// Inserts lines behind that in which something ends, and behind comments that belong to it.
    ///
    /// - Parameter outer: Such comments are indented more.
    private mutating func insert(
        _ lines: [String], behind end: Int, deeperThan outer: Int, column: Int, isElement: Bool = false
    ) {
        // Blocks of text end where the next line begins.
        let isLineStart = end > 0 && self.bytes[end - 1] == .lineFeed
        var index = isLineStart ? end : self.nextLine(end)
        var probe = index
        while probe < self.bytes.count {
            let line = self.bytes[probe..<self.nextLine(probe)]
            let indentation = line.prefix { $0 == .space }.count
            let first = line.first { !ManifestStream.isBlank($0) }
            if let first, first != 0x23 || indentation <= outer { break }
            probe += line.count
            if first != nil { index = probe }
        }
        self.insert(lines, atLine: index, column: column, isElement: isElement)
    }

    private mutating func insert(_ lines: [String], atLine index: Int, column: Int, isElement: Bool) {
        let isOpen = index == self.bytes.count && index > 0 && self.bytes[index - 1] != .lineFeed
        let text =
            isOpen
            ? lines.map { self.lineEnd + $0 }.joined() : lines.map { $0 + self.lineEnd }.joined()
        self.edits.append(Edit(range: index..<index, text: text, column: column, isElement: isElement))
    }

    /// Where the line behind that of an octet begins; the end of the text when there is none.
    private func nextLine(_ index: Int) -> Int {
        self.bytes[index...].firstIndex(of: .lineFeed).map { $0 + 1 } ?? self.bytes.count
    }

    /// The column of the dash in front of an element; `nil` when more than blanks stand between them.
    private func dash(of element: YAMLMarks) -> Int? {
        var (index, column) = (element.start - 1, element.column - 1)
        while index > 0, column > 0, self.bytes[index] == .space {
            index -= 1
            column -= 1
        }
        return index >= 0 && self.bytes[index] == 0x2d ? column : nil
    }
}
