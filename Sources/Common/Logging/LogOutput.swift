// SPDX-License-Identifier: Apache-2.0

package import Logging
package import NIOCore
import Synchronization

/// Takes finished lines from any thread and has a thread of its own write them.
///
/// Whoever logs copies a line into a buffer and goes on; a slow disk or a stuck terminal never holds up an event loop.
/// When the buffer is full, lines are dropped and counted, and a line says how many as soon as there is room. Failures
/// of writing are counted, and told on standard error at most once a minute; they never end the process.
///
/// One output is one stream of lines; an access log has one of its own. It lives until the last reference is gone, and
/// then writes what it has.
package final class LogOutput: Sendable {
    /// What an output needs of the process, replaced in tests.
    package struct Surroundings: Sendable {
        /// The clock of lines, of rotation and of the looks at the file.
        package var now: @Sendable () -> WallTime = { .now() }
        /// Descriptor of the writer `stdout`.
        package var standardOutput: Int32 = 1
        /// Descriptor of the writer `stderr`, and of complaints.
        package var standardError: Int32 = 2
        /// How many bytes may wait for the writer; as many again may be with it.
        package var capacity = 1 << 20

        /// The process's own.
        package init() {}
    }

    private let queue: LogQueue
    private let surroundings: Surroundings

    /// Starts a writer.
    package init(_ settings: LogSettings, _ surroundings: Surroundings = Surroundings()) {
        self.surroundings = surroundings
        self.queue = LogQueue(settings, capacity: surroundings.capacity)
        LogWriter.start(self.queue, surroundings)
    }

    deinit { self.queue.close() }

    /// Makes other settings hold, for all loggers at once.
    ///
    /// Lines that were written before still go where they would have gone. Never blocks: a file is opened by the
    /// writer, and a file that cannot be opened is complained of.
    package func apply(_ settings: LogSettings) { self.queue.apply(settings) }

    /// The least severe level that is logged; a load, from any thread.
    package var level: Logger.Level { Logger.Level(code: self.queue.level.load(ordering: .relaxed)) }

    /// Makes another level hold, for all loggers at once, until settings are applied that have another one.
    package func setLevel(_ level: Logger.Level) { self.queue.level.store(level.code, ordering: .relaxed) }

    /// The form that lines should have; a load, from any thread.
    package var format: LogSettings.Format {
        LogSettings.Format(rawValue: self.queue.format.load(ordering: .relaxed)) ?? .json
    }

    /// The moment, by the clock of this output.
    package var now: WallTime { self.surroundings.now() }

    /// Writes a line, or drops it when too much waits already.
    ///
    /// From any thread; a lock, held for a copy of the line. When the writer sleeps, a system call wakes it: at most 500
    /// times a second.
    ///
    /// - Parameter line: One line with its line feed, made safe with ``LineEscaper``.
    package func write(_ line: [UInt8]) { self.queue.append(line, lines: 1) }

    /// Writes several lines at once, or drops them all.
    ///
    /// - Parameter count: How many they are.
    package func write(_ lines: ByteBuffer, count: Int) { self.queue.append(lines.readableBytesView, lines: count) }

    /// Waits until everything is written that was written before; for the end of the process.
    ///
    /// Blocks the thread, so not on an event loop.
    ///
    /// - Parameter time: How long to wait; whoever reads our standard output may have stopped reading.
    /// - Returns: `false` when the time was over first.
    @discardableResult
    package func flush(within time: Duration = .seconds(2)) -> Bool { self.queue.flush(within: time) }

    /// Lines that were given to the writers.
    package var linesWritten: Int { self.queue.linesWritten.current }
    /// Lines that did not fit into the buffer.
    package var linesDropped: Int { self.queue.linesDropped.current }
    /// Operations that failed: opening, writing, renaming, compressing, removing.
    package var errors: Int { self.queue.errors.current }
    /// Files that were renamed, and a new one begun.
    package var rotations: Int { self.queue.rotations.current }
}
