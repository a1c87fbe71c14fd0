// SPDX-License-Identifier: Apache-2.0

import Foundation
import Logging
import Testing

@testable import Common

@Suite struct LogOutputTests {
    private let directory: LogDirectory
    private let clock = LogClock()
    private let standardOutput = LogPipe()
    private let standardError = LogPipe()

    init() throws { self.directory = try LogDirectory() }

    private func surroundings(capacity: Int = 1 << 20) -> LogOutput.Surroundings {
        var surroundings = LogOutput.Surroundings()
        surroundings.now = { [clock] in clock.now }
        surroundings.standardOutput = self.standardOutput.writer
        surroundings.standardError = self.standardError.writer
        surroundings.capacity = capacity
        return surroundings
    }

    private func settings(_ writers: Set<LogSettings.Writer> = [.file]) -> LogSettings {
        var settings = LogSettings()
        settings.writers = writers
        settings.format = .text
        settings.path = self.directory.file()
        return settings
    }

    private func logger(_ output: LogOutput, label: String = "mesher") -> Logger {
        Logger(label: label) { MesherLogHandler(label: $0, output: output) }
    }

    @Test("a logger's line names its module, its own values and those of the call")
    func logs() {
        let output = LogOutput(self.settings(), self.surroundings())
        var logger = self.logger(output)
        logger[metadataKey: "all"] = "1"
        logger[metadataKey: "port"] = "1"
        logger.notice("hello", metadata: ["port": "2"])
        self.logger(output, label: "Other.Thing").error("failed", error: CancellationError(), source: "x")
        #expect(output.flush())
        let text = """
            2026-11-28T00:12:34.567Z INFO  commontests: hello all=1 port=2
            2026-11-28T00:12:34.567Z ERROR other.thing: failed error=CancellationError()

            """
        #expect(self.directory.text() == text && output.linesWritten == 2)
    }

    @Test("a new level holds for loggers that exist, except those with a level of their own")
    func level() {
        var settings = self.settings()
        settings.level = .warning
        let output = LogOutput(settings, self.surroundings())
        let logger = self.logger(output)
        var quiet = logger
        quiet.logLevel = .critical
        let copy = quiet
        logger.info("no")
        #expect(logger.logLevel == .warning && quiet.logLevel == .critical)
        settings.level = .debug
        output.apply(settings)
        #expect(logger.logLevel == .debug && quiet.logLevel == .critical && copy.logLevel == .critical)
        logger.debug("yes")
        quiet.error("no")
        quiet.critical("yes")
        output.flush()
        let lines = self.directory.text()?.split(separator: "\n").map { $0.dropFirst(25) }
        #expect(lines == ["DEBUG commontests: yes", "FATAL commontests: yes"])
    }

    @Test("file, format and writers change between two lines")
    func change() {
        var settings = self.settings()
        let output = LogOutput(settings, self.surroundings())
        let logger = self.logger(output)
        logger.info("first")
        settings.path = self.directory.file("new/second.log")
        settings.format = .json
        output.apply(settings)
        logger.info("second")
        settings.writers = [.stdout, .stderr]
        output.apply(settings)
        logger.info("third")
        output.flush()
        let head = "2026-11-28T00:12:34.567Z"
        let json = #"{"timestamp":"\#(head)","level":"INFO","source":"commontests","message":""#
        #expect(self.directory.text() == "\(head) INFO  commontests: first\n")
        #expect(self.directory.text("new/second.log") == json + "second\"}\n")
        #expect(self.standardOutput.read() == json + "third\"}\n")
        #expect(self.standardError.read() == json + "third\"}\n")
    }

    @Test("colors are for text on the streams only")
    func colors() {
        var settings = self.settings([.stdout, .file])
        settings.color = .always
        let output = LogOutput(settings, self.surroundings())
        self.logger(output).warning("m")
        output.write(text: "GET /x from 10.0.0.1 200 3ms")
        output.flush()
        let (head, tail) = ("2026-11-28T00:12:34.567Z ", " commontests: m\nGET /x from 10.0.0.1 200 3ms\n")
        #expect(self.standardOutput.read() == "\(head)\u{1b}[33mWARN \u{1b}[0m\(tail)")
        #expect(self.directory.text() == "\(head)WARN \(tail)")
        settings.color = .auto
        output.apply(settings)
        self.logger(output).warning("m")
        output.flush()
        #expect(self.standardOutput.read() == "\(head)WARN  commontests: m\n")
        settings.color = .always
        settings.format = .json
        output.apply(settings)
        self.logger(output).warning("m")
        output.flush()
        #expect(!self.standardOutput.read().contains("\u{1b}"))
    }

    @Test("what does not fit is dropped, counted, and told of in its place")
    func drops() throws {
        let isFull = self.standardOutput.fill()
        let output = LogOutput(self.settings([.stdout]), self.surroundings(capacity: 4000))
        var count = 0
        while output.linesDropped < 10 {
            // Of several lengths: a short line must not slip in after a long one that was dropped.
            output.write(text: String(repeating: " ", count: 90 + count % 3 * 200) + "\(count)")
            count += 1
        }
        #expect(isFull && !output.flush(within: .zero))
        var text = ""
        while !output.flush(within: .milliseconds(1)) { text += self.standardOutput.read() }
        output.write(text: "\(count)")
        output.flush()
        text += self.standardOutput.read()
        let head = "2026-11-28T00:12:34.567Z WARN  log: "
        let told = "\(head)lines were dropped: more was logged than could be written lines="
        var (next, notices) = (0, 0)
        for line in text.drop(while: { $0 == LogPipe.filling }).split(separator: "\n") {
            if line.hasPrefix(told) {
                next += try #require(Int(line.dropFirst(told.count)))
                notices += 1
            } else {
                #expect(Int(line.trimmingPrefix { $0 == " " }) == next)
                next += 1
            }
        }
        #expect(next == count + 1 && notices > 0 && output.linesWritten + output.linesDropped == next + notices)
    }

    @Test("lines of many threads are neither lost nor torn, also while the file is put aside")
    func concurrent() {
        var settings = self.settings()
        settings.rotation.sizeInMegabytes = 1
        settings.rotation.backupCount = 0
        let output = LogOutput(settings, self.surroundings(capacity: 64 << 20))
        let (threads, lines) = (8, 2500)
        DispatchQueue.concurrentPerform(iterations: threads) { thread in
            let logger = self.logger(output)
            let value = String(repeating: "\(thread)", count: 60)
            for line in 0..<lines { logger.info("m", metadata: ["line": "\(line)", "value": "\(value)"]) }
        }
        #expect(output.flush(within: .seconds(60)))
        let text = self.directory.names.compactMap { self.directory.text($0) }.joined()
        var next = [Int](repeating: 0, count: threads)
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ")
            guard words.count == 6, words[4].hasPrefix("line="), words[5].utf8.count == 66,
                let thread = words[5].last.flatMap({ Int(String($0)) }), words[4] == "line=\(next[thread])"
            else {
                Issue.record("\(line)")
                return
            }
            next[thread] += 1
        }
        #expect(next == [Int](repeating: lines, count: threads))
        #expect(output.rotations >= 2 && output.linesDropped == 0 && output.linesWritten == threads * lines)
    }

    @Test("a stream that is closed and a file that cannot be written do not keep the other from its lines")
    func failures() {
        let closed = LogPipe()
        var surroundings = self.surroundings()
        surroundings.standardOutput = closed.writer
        // Closes the end for reading, and leaves a number to close.
        _ = dup2(self.standardError.reader, closed.reader)
        let output = LogOutput(self.settings([.stdout, .file]), surroundings)
        output.write(text: "a")
        output.flush()
        #expect(self.directory.text() == "a\n" && output.errors == 1)
        #expect(self.standardError.read().contains("cannot write the log path=stdout reason=\"Broken pipe\""))
        var settings = self.settings([.stderr, .file])
        for (number, path) in ["/dev/full", self.directory.file("chassis.log/x.log")].enumerated() {
            settings.path = path
            output.apply(settings)
            output.write(text: "b")
            output.flush()
            // The second path cannot be opened either, which is tried when the settings change.
            #expect(self.standardError.read() == "b\n" && output.errors == 2 + 2 * number)
        }
    }

    @Test("after a line that could not be finished, the next one begins at the left", .timeLimit(.minutes(1)))
    func torn() async {
        #expect(unsafe mkfifo(self.directory.file(), 0o600) == 0)
        let reader = unsafe open(self.directory.file(), O_RDONLY | O_NONBLOCK)
        let output = LogOutput(self.settings(), self.surroundings())
        output.write(text: String(repeating: "x", count: 100_000))
        var waiting: Int32 = 0
        while waiting < 65_536, !Task.isCancelled {
            _ = unsafe ioctl(reader, UInt(FIONREAD), &waiting)
            await Task.yield()
        }
        close(reader)
        output.flush()
        #expect(output.errors == 1)
        let next = LogPipe(reader: unsafe open(self.directory.file(), O_RDONLY | O_NONBLOCK))
        #expect(next.read() == String(repeating: "x", count: 65_536))
        output.write(text: "next")
        output.flush()
        #expect(next.read() == "\nnext\n")
    }

    @Test("the last reference gone, everything is written and the file closed", .timeLimit(.minutes(1)))
    func ends() async {
        #expect(unsafe mkfifo(self.directory.file(), 0o600) == 0)
        let reader = unsafe open(self.directory.file(), O_RDONLY | O_NONBLOCK)
        defer { close(reader) }
        do {
            let output = LogOutput(self.settings(), self.surroundings())
            output.flush()
            for _ in 0..<100 { output.write(text: "x") }
        }
        var text: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1000)
        while true {
            let count = unsafe read(reader, &buffer, buffer.count)
            if count == 0 { break }
            if count > 0 { text += buffer[..<count] } else { await Task.yield() }
            if Task.isCancelled { return }
        }
        #expect(String(decoding: text, as: UTF8.self) == String(repeating: "x\n", count: 100))
    }

    @Test("the defaults are those of a missing lager.yaml")
    func defaults() {
        let settings = LogSettings()
        #expect(settings.writers == [.stdout] && settings.level == .debug && settings.format == .json)
        #expect(settings.path == "log/chassis.log" && settings.color == .auto)
        let rotation = settings.rotation
        #expect(!rotation.isDisabled && !rotation.isCompressing && rotation.policy == .size)
        #expect(rotation.ageInDays == 1 && rotation.sizeInMegabytes == 10 && rotation.backupCount == 7)
    }
}
