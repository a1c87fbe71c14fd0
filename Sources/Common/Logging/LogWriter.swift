// SPDX-License-Identifier: Apache-2.0

import Glibc
import Logging

/// The thread that writes what a ``LogQueue`` has.
struct LogWriter {
    private let queue: LogQueue
    private let surroundings: LogOutput.Surroundings
    private let complaints: LogComplaints
    private var streams: [LogStream] = []
    private var file: LogFile?
    private var format = LogSettings.Format.json

    /// Starts the thread; it ends after the queue's last batch.
    static func start(_ queue: LogQueue, _ surroundings: LogOutput.Surroundings) {
        let isRunning = SystemThread.start("mesher-log") {
            var writer = LogWriter(queue, surroundings)
            writer.run()
        }
        // A process begins with it, or goes on without a log.
        if !isRunning { Console.complain("mesher: the system has no thread left for the log\n") }
    }

    private init(_ queue: LogQueue, _ surroundings: LogOutput.Surroundings) {
        self.queue = queue
        self.surroundings = surroundings
        self.complaints = LogComplaints(descriptor: surroundings.standardError, errors: queue.errors)
    }

    private mutating func run() {
        Self.blockPipeSignal()
        var batch = LogQueue.Batch()
        repeat {
            self.queue.next(after: &batch)
            self.write(batch)
            batch.finish()
        } while !batch.isLast
    }

    /// A reader of our standard output that ends must not end us.
    private static func blockPipeSignal() {
        var signals = sigset_t()
        unsafe sigemptyset(&signals)
        unsafe sigaddset(&signals, SIGPIPE)
        unsafe pthread_sigmask(SIG_BLOCK, &signals, nil)
    }

    private mutating func write(_ batch: LogQueue.Batch) {
        let bytes = batch.bytes.rawSpan
        var start = 0
        for change in batch.changes {
            self.write(bytes.extracting(start..<change.offset))
            start = change.offset
            self.apply(change.settings)
        }
        self.write(bytes.extracting(start..<bytes.byteCount))
        self.queue.linesWritten.add(batch.lines)
        guard batch.dropped > 0 else { return }
        let record = LogRecord(
            time: self.surroundings.now(), level: .warning, source: "log",
            message: "lines were dropped: more was logged than could be written",
            members: [("lines", .string("\(batch.dropped)"))])
        self.write(record.line(self.format).rawSpan)
        self.queue.linesWritten.add()
    }

    private mutating func apply(_ settings: LogSettings) {
        self.format = settings.format
        self.complaints.format = settings.format
        self.streams = []
        if settings.writers.contains(.stdout) {
            self.streams.append(LogStream(.stdout, self.surroundings.standardOutput, settings))
        }
        if settings.writers.contains(.stderr) {
            self.streams.append(LogStream(.stderr, self.surroundings.standardError, settings))
        }
        guard settings.writers.contains(.file) else {
            self.file = nil
            return
        }
        if self.file?.path != settings.path {
            self.file = LogFile(settings.path, self.complaints, rotations: self.queue.rotations)
        }
        self.file?.rotation = settings.rotation
        // At once, so that a mistake in the path shows at the start, not with the first line.
        self.file?.open(at: self.surroundings.now())
    }

    private func write(_ bytes: RawSpan) {
        guard bytes.byteCount > 0 else { return }
        let now = self.surroundings.now()
        // The file first: whoever reads a stream may keep us waiting.
        do throws(LogFailure) { try self.file?.write(bytes, at: now) } catch { self.complaints.report(error, at: now) }
        for stream in self.streams {
            do throws(LogFailure) { try stream.write(bytes) } catch { self.complaints.report(error, at: now) }
        }
    }
}
