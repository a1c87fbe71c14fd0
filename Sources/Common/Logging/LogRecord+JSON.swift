// SPDX-License-Identifier: Apache-2.0

import Logging

/// `{"timestamp":"…","level":"INFO","source":"egress","message":"…","address":"127.0.0.1:30101"}`.
extension LogRecord {
    private static let mark: StaticString = "…\""
    private static let truncated: StaticString = ",\"truncated\":true"

    /// Appends the line.
    func appendJSON(to line: inout [UInt8]) {
        // Room for the mark, the member that says so, the brace and the line feed.
        let limit = line.count + Self.longestLine - Self.mark.utf8CodeUnitCount - Self.truncated.utf8CodeUnitCount - 2
        line.append("{\"timestamp\":\"")
        self.time.append(to: &line)
        line.append("\",\"level\":\"")
        line.append(self.level.logName)
        line.append("\",\"source\":")
        let isWhole = self.appendRest(to: &line, upTo: limit)
        if !isWhole { line.append(Self.truncated) }
        line.append(.rightBrace)
        line.append(.lineFeed)
    }

    /// - Returns: `false` when not all of it fitted.
    private func appendRest(to line: inout [UInt8], upTo limit: Int) -> Bool {
        let message: StaticString = ",\"message\":"
        // A source is the name of a module: for one that takes all the room, the message is left out.
        let room = message.utf8CodeUnitCount + 1
        guard Self.appendMarked(self.source, to: &line, upTo: limit - room) else { return false }
        line.append(message)
        guard Self.appendMarked(self.message, to: &line, upTo: limit) else { return false }
        for (key, value) in self.members {
            guard Self.appendMember(Self.name(key), value, to: &line, upTo: limit) else { return false }
        }
        return true
    }

    /// The name for a key of metadata: the key, but `_level` for `level`, `__level` for `_level`, and so on, so that no
    /// two names are the same.
    private static func name(_ key: String) -> String {
        let plain = key.utf8.drop { $0 == UInt8(ascii: "_") }
        return switch Substring(plain) {
        case "timestamp", "level", "source", "message", "truncated": "_\(key)"
        default: key
        }
    }

    /// Appends a comma and a member.
    ///
    /// Text that is too long is cut and marked, any other value left out.
    ///
    /// - Returns: `false` when not all of it fitted; what is there is whole JSON nevertheless.
    private static func appendMember(
        _ name: String, _ value: Logger.MetadataValue, to line: inout [UInt8], upTo limit: Int
    ) -> Bool {
        let start = line.count
        line.append(",\"")
        // Three more bytes begin the value.
        if LineEscaper.appendJSON(name.rawSpan, to: &line, upTo: limit - 3) {
            line.append("\":")
            switch value {
            case .string(let text): return self.appendMarked(text, to: &line, upTo: limit)
            case .stringConvertible(let value): return self.appendMarked(value.description, to: &line, upTo: limit)
            case .array, .dictionary:
                if self.appendWhole(value, to: &line, upTo: limit), line.count <= limit { return true }
            }
        }
        line.removeSubrange(start...)
        return false
    }

    private static func appendMarked(_ text: String, to line: inout [UInt8], upTo limit: Int) -> Bool {
        line.append(.quote)
        let isWhole = LineEscaper.appendJSON(text.rawSpan, to: &line, upTo: limit)
        line.append(isWhole ? "\"" : Self.mark)
        return isWhole
    }

    /// Appends a value of any depth.
    ///
    /// Stops some bytes beyond `limit`: what is there by then is of no use.
    private static func appendWhole(_ value: Logger.MetadataValue, to line: inout [UInt8], upTo limit: Int) -> Bool {
        guard line.count <= limit else { return false }
        switch value {
        case .string(let text): return self.appendString(text, to: &line, upTo: limit)
        case .stringConvertible(let value): return self.appendString(value.description, to: &line, upTo: limit)
        case .array(let values):
            line.append(.leftBracket)
            for (index, value) in values.enumerated() {
                if index > 0 { line.append(.comma) }
                guard self.appendWhole(value, to: &line, upTo: limit) else { return false }
            }
            line.append(.rightBracket)
        case .dictionary(let values):
            line.append(.leftBrace)
            for (index, (key, value)) in self.sorted(values).enumerated() {
                if index > 0 { line.append(.comma) }
                guard self.appendString(key, to: &line, upTo: limit) else { return false }
                line.append(.colon)
                guard self.appendWhole(value, to: &line, upTo: limit) else { return false }
            }
            line.append(.rightBrace)
        }
        return true
    }

    private static func appendString(_ text: String, to line: inout [UInt8], upTo limit: Int) -> Bool {
        line.append(.quote)
        let isWhole = LineEscaper.appendJSON(text.rawSpan, to: &line, upTo: limit)
        line.append(.quote)
        return isWhole
    }
}
