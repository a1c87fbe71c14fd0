// SPDX-License-Identifier: Apache-2.0

import Common

/// A text of YAML documents, taken apart where its lines say so.
struct ManifestStream {
    /// A document with the mark in front of it, or what stands between two of them.
    struct Part {
        /// As it stands there.
        let bytes: [UInt8]
        /// How many lines there are before it.
        let linesBefore: Int
        /// The number of the document, from 1; `nil` for what has only comments.
        let number: Int?
    }

    /// The parts in their order; together they are the text.
    ///
    /// - Source: YAML 1.1 §4.3: a line `---` or `...` is a mark wherever it stands.
    static func parts(of bytes: [UInt8]) -> [Part] {
        var parts: [Part] = []
        var (start, line, linesBefore, number) = (0, 0, 0, 0)
        var (hasContent, hasDirective) = (false, false)
        func close(at end: Int) {
            guard end > start else { return }
            if hasContent { number += 1 }
            parts.append(
                Part(bytes: Array(bytes[start..<end]), linesBefore: linesBefore, number: hasContent ? number : nil))
            (start, linesBefore, hasContent, hasDirective) = (end, line, false, false)
        }
        var index = 0
        while index < bytes.count {
            let end = bytes[index...].firstIndex(of: .lineFeed).map { $0 + 1 } ?? bytes.count
            var content = bytes[index..<end]
            let isStart = Self.isMark("---", content)
            let isEnd = Self.isMark("...", content)
            // What directives say holds for the document below them.
            if isStart, hasContent || !hasDirective { close(at: index) }
            if isStart || isEnd { content = content.dropFirst(3) }
            if content.first == 0x25, !hasContent {
                hasDirective = true
            } else if let first = content.first(where: { !Self.isBlank($0) }), first != 0x23 {
                hasContent = true
            }
            line += 1
            index = end
            if isEnd { close(at: end) }
        }
        close(at: bytes.count)
        return parts
    }

    static func isBlank(_ byte: UInt8) -> Bool {
        byte == .space || byte == .tab || byte == .lineFeed || byte == .carriageReturn
    }

    /// Whether a line begins with such a mark.
    static func isMark(_ mark: String, _ line: ArraySlice<UInt8>) -> Bool {
        line.starts(with: mark.utf8) && line.dropFirst(3).first.map(Self.isBlank) ?? true
    }
}
