// SPDX-License-Identifier: Apache-2.0

import Glibc
import Logging
import Synchronization

/// Something that went wrong while a log was written.
struct LogFailure: Error {
    /// What was tried, as in `cannot … the log`.
    let operation: StaticString
    /// What it was tried on.
    let path: String
    /// The system's number of the mistake.
    let code: Int32

    init(_ operation: StaticString, _ path: String, code: Int32 = errno) {
        self.operation = operation
        self.path = path
        self.code = code
    }
}

/// Tells of failures on standard error, at most once a minute.
///
/// From any thread. Nothing is said of a failure to do so.
final class LogComplaints: Sendable {
    private struct State {
        var format = LogSettings.Format.json
        var last: WallTime?
        var unsaid = 0
    }

    private let descriptor: Int32
    private let errors: Counter
    private let state = Mutex(State())

    /// - Parameter errors: Counts all failures, also those of which nothing is said.
    init(descriptor: Int32, errors: Counter) {
        self.descriptor = descriptor
        self.errors = errors
    }

    /// What a complaint looks like.
    var format: LogSettings.Format {
        get { self.state.withLock { $0.format } }
        set { self.state.withLock { $0.format = newValue } }
    }

    /// Counts a failure, and tells of it when a minute has passed since the last one that was told.
    func report(_ failure: LogFailure, at now: WallTime) {
        self.errors.addShared()
        let said = self.state.withLock { state -> (unsaid: Int, format: LogSettings.Format)? in
            if let last = state.last, !last.isOver(.seconds(60), at: now) {
                state.unsaid += 1
                return nil
            }
            defer { (state.last, state.unsaid) = (now, 0) }
            return (state.unsaid, state.format)
        }
        guard let said else { return }
        let reason = unsafe String(cString: strerror(failure.code))
        let record = LogRecord(
            time: now, level: .error, source: "log", message: "cannot \(failure.operation) the log",
            members: [
                ("path", .string(failure.path)), ("reason", .string(reason)), ("unsaid", .string("\(said.unsaid)")),
            ])
        let line = record.line(said.format)
        try? LogStream(.stderr, self.descriptor).write(line.rawSpan)
    }
}
