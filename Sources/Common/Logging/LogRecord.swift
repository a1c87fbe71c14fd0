// SPDX-License-Identifier: Apache-2.0

import Logging

/// One thing that is logged, and the line that it makes.
///
/// Pure: the time comes from outside. A line ends with a line feed, which is the only one in it, is valid UTF-8, and has
/// at most ``longestLine`` bytes; what does not fit is left out and `…` or `"truncated":true` says so.
struct LogRecord {
    /// A line's name and what it says.
    typealias Member = (key: String, value: Logger.MetadataValue)

    /// How many bytes a line has at most, its line feed included.
    static let longestLine = 8192

    /// When it happened.
    let time: WallTime
    /// How severe it is.
    let level: Logger.Level
    /// Which part of the program says it, in lower case.
    let source: String
    /// What happened.
    let message: String
    /// With what, sorted by key.
    let members: [Member]

    /// The line, with its line feed.
    func line(_ format: LogSettings.Format) -> [UInt8] {
        var line: [UInt8] = []
        line.reserveCapacity(320)
        switch format {
        case .text: self.appendText(to: &line)
        case .json: self.appendJSON(to: &line)
        }
        return line
    }

    /// What is shown of a value that is no text: `[a, b]` for a list, `{a: b}` for a dictionary, sorted by key.
    static func text(_ value: Logger.MetadataValue) -> String {
        switch value {
        case .string(let text): text
        case .stringConvertible(let value): value.description
        case .array(let values): "[\(values.map(Self.text).joined(separator: ", "))]"
        case .dictionary(let values):
            "{\(Self.sorted(values).map { "\($0.key): \(Self.text($0.value))" }.joined(separator: ", "))}"
        }
    }

    /// The entries of `metadata` in the order of their keys.
    static func sorted(_ metadata: Logger.Metadata) -> [Member] {
        var members: [Member] = []
        members.reserveCapacity(metadata.count)
        for (key, value) in metadata { members.append((key, value)) }
        if members.count > 1 { members.sort { $0.key < $1.key } }
        return members
    }
}
