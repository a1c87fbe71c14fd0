// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials
import Glibc
import Synchronization

/// Standard output or standard error.
///
/// All outputs of the process take turns at each, so that lines stay whole. Nothing but writers' threads waits here.
struct LogStream {
    private final class Turn: Sendable {
        let lock = Mutex<Void>(())
    }

    private static let outputTurn = Turn()
    private static let errorTurn = Turn()

    private let writer: LogSettings.Writer
    private let descriptor: Int32
    private let isColored: Bool

    /// A stream without colors.
    init(_ writer: LogSettings.Writer, _ descriptor: Int32) {
        self.writer = writer
        self.descriptor = descriptor
        self.isColored = false
    }

    /// A stream that has colors when `settings` say so.
    init(_ writer: LogSettings.Writer, _ descriptor: Int32, _ settings: LogSettings) {
        self.writer = writer
        self.descriptor = descriptor
        let environment = ProcessInfo.processInfo.environment
        let isAllowed =
            switch settings.color {
            case .always: true
            case .never: false
            case .auto:
                isatty(descriptor) == 1 && environment["NO_COLOR", default: ""].isEmpty
                    && environment["TERM"] != "dumb"
            }
        self.isColored = isAllowed && settings.format == .text
    }

    /// Writes whole lines; blocks until they are taken.
    func write(_ lines: RawSpan) throws(LogFailure) {
        if self.isColored {
            let colored = Self.colored(lines)
            try self.writeInTurn(colored.rawSpan)
        } else {
            try self.writeInTurn(lines)
        }
    }

    private func writeInTurn(_ lines: RawSpan) throws(LogFailure) {
        let descriptor = self.descriptor
        let turn = self.writer == .stdout ? Self.outputTurn : Self.errorTurn
        let code = unsafe lines.withUnsafeBytes { lines in
            turn.lock.withLock { _ in unsafe Self.writeAll(lines, to: descriptor).code }
        }
        if code != 0 { throw LogFailure("write", self.writer.rawValue, code: code) }
    }

    /// Writes all of it; blocks until it is taken.
    ///
    /// - Returns: How many bytes were written, and why no more: 0, or the system's number of the mistake.
    static func writeAll(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32) -> (count: Int, code: Int32) {
        var written = 0
        while written < bytes.count {
            let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[written...])
            let count = unsafe Glibc.write(descriptor, rest.baseAddress, rest.count)
            if count >= 0 {
                written += count
            } else if errno == EAGAIN {
                // Somebody made the stream non-blocking, which holds for all who share it.
                var poll = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                _ = unsafe Glibc.poll(&poll, 1, 1000)
            } else if errno != EINTR {
                return (written, errno)
            }
        }
        return (written, 0)
    }
}

/// Colors.
extension LogStream {
    /// The lines with the names of their levels in color: those of ``LogRecord``'s text only, others as they are.
    static func colored(_ lines: RawSpan) -> [UInt8] {
        var colored: [UInt8] = []
        colored.reserveCapacity(lines.byteCount + lines.byteCount / 4)
        let columns = LogRecord.levelColumns
        var start = 0
        while start < lines.byteCount {
            var end = start
            while end < lines.byteCount, lines.byte(at: end) != .lineFeed { end += 1 }
            end = min(end + 1, lines.byteCount)
            let level = start + columns.lowerBound..<start + columns.upperBound
            if end > level.upperBound, let color = Self.color(ofLevelIn: level, of: lines) {
                colored.append(lines.extracting(start..<level.lowerBound))
                colored.append(color)
                colored.append(lines.extracting(level))
                colored.append("\u{1b}[0m")
                colored.append(lines.extracting(level.upperBound..<end))
            } else {
                colored.append(lines.extracting(start..<end))
            }
            start = end
        }
        return colored
    }

    /// The sequence that begins the color; `nil` when there is no name of a level.
    private static func color(ofLevelIn range: Range<Int>, of lines: RawSpan) -> StaticString? {
        switch lines.string(in: range) {
        case "TRACE", "DEBUG": "\u{1b}[2m"
        case "INFO ": "\u{1b}[32m"
        case "WARN ": "\u{1b}[33m"
        case "ERROR": "\u{1b}[31m"
        case "FATAL": "\u{1b}[1;31m"
        default: nil
        }
    }
}
