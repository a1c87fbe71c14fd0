// SPDX-License-Identifier: Apache-2.0

/// A value of a YAML document and where it stands, for whoever changes the text and leaves the rest of it as it is.
///
/// Aliases are not followed.
package struct YAMLMarks: Sendable {
    /// What it is.
    package enum Kind: Sendable {
        /// A scalar; nothing behind a colon is an empty one.
        case text(String, isPlain: Bool)
        /// `*name`.
        case alias(String)
        case list([YAMLMarks])
        case map([Member])
    }

    /// A key and its value.
    package struct Member: Sendable {
        /// As it stands there.
        package let key: YAMLMarks
        /// What stands behind it.
        package let value: YAMLMarks
    }

    /// What it is.
    package let kind: Kind
    /// Its first byte; that of its anchor or tag where it has one.
    package let start: Int
    /// Behind its last byte; behind that of its last value for a list or map without brackets.
    package let end: Int
    /// The column of its first byte, from 0, in characters.
    package let column: Int
    /// Whether a list or map has brackets or braces.
    package let isFlow: Bool
    /// Whether it has an anchor or a tag.
    package let isMarked: Bool

    private static let deepest = 100

    /// The marks of the only document of a text.
    ///
    /// - Parameter bytes: UTF-8 without a byte order mark, which somebody else has checked.
    /// - Returns: `nil` when there is no document, more than one, or one that cannot be read.
    package static func document(_ bytes: [UInt8]) -> YAMLMarks? {
        guard let reader = YAMLReader(bytes) else { return nil }
        var builder = YAMLMarksBuilder(reader: reader, lines: YAMLLines(bytes))
        return builder.document(deepest: Self.deepest)
    }

    /// The text; `nil` when it is none.
    package var text: String? { if case .text(let text, _) = self.kind { text } else { nil } }

    /// The value of a key that stands there; `nil` when this is no map or has no such key.
    package subscript(key: String) -> YAMLMarks? { self.member(key)?.value }

    /// A key that stands there, with its value, likewise.
    package func member(_ key: String) -> Member? {
        guard case .map(let members) = self.kind else { return nil }
        return members.first { $0.key.text == key }
    }
}

/// Makes marks of events.
private struct YAMLMarksBuilder: ~Copyable {
    private var reader: YAMLReader
    private let lines: YAMLLines
    /// The last place that was looked for: the next one is not far behind.
    private var known: (place: YAMLPlace, offset: Int)?

    init(reader: consuming YAMLReader, lines: YAMLLines) {
        self.reader = reader
        self.lines = lines
    }

    mutating func document(deepest: Int) -> YAMLMarks? {
        guard case .documentStart = self.reader.next()?.kind, let first = self.reader.next(),
            let marks = self.marks(first, room: deepest), case .documentEnd = self.reader.next()?.kind,
            case .streamEnd = self.reader.next()?.kind
        else { return nil }
        return marks
    }

    private mutating func offset(_ place: YAMLPlace) -> Int {
        let offset = self.lines.offset(of: place, from: self.known)
        self.known = (place, offset)
        return offset
    }

    /// What begins with an event.
    ///
    /// - Parameter room: How many levels there may be.
    private mutating func marks(_ event: YAMLEvent, room: Int) -> YAMLMarks? {
        if room == 0 { return nil }
        let start = self.offset(event.start)
        let kind: YAMLMarks.Kind
        var end = start
        switch event.kind {
        case .alias(let name):
            kind = .alias(name)
            end = self.offset(event.end)
        case .text(let text, let isPlain):
            kind = .text(text, isPlain: isPlain)
            end = self.offset(event.end)
        case .listStart:
            var elements: [YAMLMarks] = []
            while let next = self.reader.next() {
                if case .listEnd = next.kind {
                    end = event.isFlow ? self.offset(next.end) : elements.last?.end ?? start
                    break
                }
                guard let element = self.marks(next, room: room - 1) else { return nil }
                elements.append(element)
            }
            kind = .list(elements)
        case .mapStart:
            var members: [YAMLMarks.Member] = []
            while let next = self.reader.next() {
                if case .mapEnd = next.kind {
                    end = event.isFlow ? self.offset(next.end) : members.last?.value.end ?? start
                    break
                }
                guard let key = self.marks(next, room: room - 1), let first = self.reader.next(),
                    let value = self.marks(first, room: room - 1)
                else { return nil }
                members.append(YAMLMarks.Member(key: key, value: value))
            }
            kind = .map(members)
        case .streamEnd, .documentStart, .documentEnd, .listEnd, .mapEnd: return nil
        }
        return YAMLMarks(
            kind: kind, start: start, end: end, column: event.start.column - 1, isFlow: event.isFlow,
            isMarked: event.anchor != nil || event.tag != nil)
    }
}
