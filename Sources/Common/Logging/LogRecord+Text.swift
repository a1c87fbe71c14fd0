// SPDX-License-Identifier: Apache-2.0

import Logging

/// `2026-11-28T00:12:34.567Z INFO  egress: taking outgoing requests address=127.0.0.1:30101`.
extension LogRecord {
    /// Where the name of the level stands in a line of text, padded to this length: colors go by it.
    static let levelColumns = 25..<30

    /// Ends a line that was cut.
    private static let mark: StaticString = "…"

    /// Appends the line.
    func appendText(to line: inout [UInt8]) {
        // Room for a closing quote, the mark and the line feed.
        let limit = line.count + Self.longestLine - 1 - Self.mark.utf8CodeUnitCount - 1
        self.time.append(to: &line)
        line.append(.space)
        let name = self.level.logName
        line.append(name)
        for _ in name.utf8CodeUnitCount..<Self.levelColumns.count { line.append(.space) }
        line.append(.space)
        if !self.appendText(to: &line, upTo: limit) { line.append(Self.mark) }
        line.append(.lineFeed)
    }

    /// - Returns: `false` when not all of it fitted.
    private func appendText(to line: inout [UInt8], upTo limit: Int) -> Bool {
        guard LineEscaper.appendText(self.source.rawSpan, to: &line, upTo: limit - 2) else { return false }
        line.append(.colon)
        line.append(.space)
        guard LineEscaper.appendText(self.message.rawSpan, to: &line, upTo: limit) else { return false }
        for (key, value) in self.members {
            // Each time room for two: the separator and an opening quote.
            guard line.count + 2 <= limit else { return false }
            line.append(.space)
            guard Self.appendWord(key, to: &line, upTo: limit), line.count + 2 <= limit else { return false }
            line.append(.equals)
            guard Self.appendWord(Self.text(value), to: &line, upTo: limit) else { return false }
        }
        return true
    }

    /// Appends a key or value; in quotes, which may go one beyond `limit`, when it has anything but plain ASCII.
    private static func appendWord(_ word: String, to line: inout [UInt8], upTo limit: Int) -> Bool {
        let bytes = word.rawSpan
        if self.isPlain(bytes) { return line.append(bytes, from: 0, to: bytes.byteCount, upTo: limit) }
        line.append(.quote)
        let isWhole = LineEscaper.appendQuoted(bytes, to: &line, upTo: limit)
        line.append(.quote)
        return isWhole
    }

    /// Whether it is seen without quotes where `word` ends, and nothing in it needs an escape.
    private static func isPlain(_ word: RawSpan) -> Bool {
        // What comes later is cut anyway.
        for index in 0..<min(word.byteCount, Self.longestLine) {
            let byte = word.byte(at: index)
            guard byte > .space, byte < 0x7f, byte != .quote, byte != .equals, byte != .backslash else { return false }
        }
        return word.byteCount > 0
    }
}
