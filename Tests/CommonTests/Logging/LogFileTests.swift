// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import Common

@Suite struct LogFileTests {
    private let directory: LogDirectory
    private let clock = LogClock()
    private let errors = Counter()
    private let rotations = Counter()
    private let standardError = LogPipe()
    private let complaints: LogComplaints

    init() throws {
        self.directory = try LogDirectory()
        self.complaints = LogComplaints(descriptor: self.standardError.writer, errors: self.errors)
    }

    private func file(
        _ name: String = "chassis.log", _ change: (inout LogSettings.Rotation) -> Void = { _ in }
    ) -> LogFile {
        let file = LogFile(self.directory.file(name), self.complaints, rotations: self.rotations)
        change(&file.rotation)
        return file
    }

    private func write(_ text: String, to file: LogFile) throws { try file.write(text.rawSpan, at: self.clock.now) }

    /// Lines of 64 bytes.
    private func lines(_ count: Int, _ letter: String = "x") -> String {
        String(repeating: String(repeating: letter, count: 63) + "\n", count: count)
    }

    private static let perMegabyte = (1 << 20) / 64

    @Test("is made with its directories, for us and our group, and appended to")
    func opens() throws {
        try self.write("a\n", to: self.file("x/y/chassis.log"))
        try self.write("b\n", to: self.file("x/y/chassis.log"))
        #expect(self.directory.text("x/y/chassis.log") == "a\nb\n")
        let manager = FileManager.default
        let file = try manager.attributesOfItem(atPath: self.directory.file("x/y/chassis.log"))
        let folder = try manager.attributesOfItem(atPath: self.directory.file("x/y"))
        #expect(file[.posixPermissions] as? Int == 0o640 && folder[.posixPermissions] as? Int == 0o755)
    }

    @Test("is put aside when the next line does not fit, and no line is torn")
    func size() throws {
        let file = self.file { $0.sizeInMegabytes = 1 }
        try self.write(self.lines(Self.perMegabyte - 1), to: file)
        #expect(self.rotations.current == 0)
        try self.write(self.lines(1, "y") + self.lines(2 * Self.perMegabyte + 1, "z"), to: file)
        let first = "chassis-2026-11-28T00-12-34.567.log"
        // The second one has the next free name, of a millisecond later.
        let (second, third) = ("chassis-2026-11-28T00-12-34.568.log", "chassis-2026-11-28T00-12-34.569.log")
        #expect(self.directory.names == [first, second, third, "chassis.log"])
        #expect(self.directory.text(first) == self.lines(Self.perMegabyte - 1) + self.lines(1, "y"))
        for name in [second, third] { #expect(self.directory.text(name) == self.lines(Self.perMegabyte, "z")) }
        #expect(self.directory.text() == self.lines(1, "z"))
        #expect(self.rotations.current == 3 && self.errors.current == 0)
    }

    @Test("what is in the file from before counts")
    func sizeOfOld() throws {
        try self.directory.write(self.lines(Self.perMegabyte))
        try self.write("new\n", to: self.file { $0.sizeInMegabytes = 1 })
        #expect(self.directory.text() == "new\n" && self.rotations.current == 1)
    }

    @Test("a line longer than a file is written whole")
    func longLine() throws {
        let file = self.file { $0.sizeInMegabytes = 1 }
        let long = String(repeating: "x", count: 3 << 20) + "\n"
        try self.write("a\n", to: file)
        try self.write(long, to: file)
        #expect(self.directory.text() == long && self.rotations.current == 1)
    }

    @Test("is not put aside when that is disabled")
    func disabled() throws {
        try self.directory.write("", to: "chassis-2001-01-01T00-00-00.000.log")
        let file = self.file {
            $0.sizeInMegabytes = 1
            $0.isDisabled = true
        }
        try self.write(self.lines(2 * Self.perMegabyte), to: file)
        #expect(self.directory.names == ["chassis-2001-01-01T00-00-00.000.log", "chassis.log"])
    }

    @Test("only the newest old files stay, and no other file is touched")
    func count() throws {
        let others = [
            "chassis-2026-11-01T00-00-00.000.txt", "chassis-2026-11-01.log", "other-2026-11-01T00-00-00.000.log",
            "chassis-2026-11-01T00-00-00.000.log.zip", "chassis-x026-11-01T00-00-00.000.log",
        ]
        let old = (1...5).map { "chassis-2026-11-0\($0)T00-00-00.000.log" }
        for name in others + old { try self.directory.write("", to: name) }
        try self.directory.write("", to: "chassis-2026-11-04T00-00-00.000.log.gz")
        let file = self.file {
            $0.ageInDays = 0
            $0.backupCount = 3
            $0.sizeInMegabytes = 1
        }
        try self.write("a\n", to: file)
        #expect(Set(self.directory.names) == Set(others + old[2...] + ["\(old[3]).gz", "chassis.log"]))
        try self.write(self.lines(Self.perMegabyte), to: file)
        let new = "chassis-2026-11-28T00-12-34.567.log"
        #expect(Set(self.directory.names) == Set(others + old[3...] + ["\(old[3]).gz", new, "chassis.log"]))
    }

    @Test("old files are removed after their days, when opened and while it runs")
    func age() throws {
        let old = "chassis-2026-11-26T00-12-34.566.log"
        let (young, gzip) = ("chassis-2026-11-26T00-12-34.567.log", "chassis-2026-11-26T01-00-00.000.log.gz")
        for name in [old, young, gzip] { try self.directory.write("", to: name) }
        let file = self.file {
            $0.ageInDays = 2
            $0.backupCount = 0
        }
        try self.write("a\n", to: file)
        #expect(self.directory.names == [young, gzip, "chassis.log"])
        self.clock.now = self.clock.now + .seconds(3599)
        try self.write("b\n", to: file)
        #expect(self.directory.names == [young, gzip, "chassis.log"])
        self.clock.now = self.clock.now + .seconds(1)
        try self.write("c\n", to: file)
        #expect(self.directory.names == ["chassis.log"])
    }

    @Test("is put aside after midnight, and only then")
    func daily() throws {
        let file = self.file { $0.policy = .daily }
        try self.write(self.lines(11 * Self.perMegabyte), to: file)
        self.clock.now = self.clock.now + .seconds(86_400 - 755)
        try self.write("last\n", to: file)
        #expect(self.directory.names == ["chassis.log"])
        self.clock.now = self.clock.now + .seconds(1)
        try self.write("first\n", to: file)
        #expect(self.directory.names == ["chassis-2026-11-29T00-00-00.567.log", "chassis.log"])
        #expect(self.directory.text() == "first\n")
    }

    @Test("what was written yesterday, before a restart, is put aside too")
    func dailyAfterRestart() throws {
        try self.directory.write("yesterday\n")
        let day = Date(timeIntervalSince1970: Double(self.clock.now.milliseconds) / 1000 - 86_400)
        try FileManager.default.setAttributes([.modificationDate: day], ofItemAtPath: self.directory.file())
        try self.write("today\n", to: self.file { $0.policy = .daily })
        #expect(self.directory.text() == "today\n" && self.directory.names.count == 2)
    }

    @Test("is opened again when it was moved or removed, a second later at most")
    func reopens() throws {
        let file = self.file()
        try self.write("a\n", to: file)
        #expect(unsafe rename(self.directory.file(), self.directory.file("moved")) == 0)
        try self.write("b\n", to: file)
        #expect(self.directory.text("moved") == "a\nb\n" && self.directory.text() == nil)
        self.clock.now = self.clock.now + .seconds(1)
        try self.write("c\n", to: file)
        #expect(self.directory.text("moved") == "a\nb\n" && self.directory.text() == "c\n")
        #expect(unsafe unlink(self.directory.file()) == 0)
        self.clock.now = self.clock.now + .seconds(1)
        try self.write("d\n", to: file)
        #expect(self.directory.text() == "d\n")
        // The clock was set back: looked at once.
        #expect(unsafe unlink(self.directory.file()) == 0)
        self.clock.now = self.clock.now + .seconds(-86_400)
        try self.write("e\n", to: file)
        #expect(self.directory.text() == "e\n")
    }

    @Test("a file that was cut short has room again")
    func truncated() throws {
        let file = self.file { $0.sizeInMegabytes = 1 }
        try self.write(self.lines(Self.perMegabyte), to: file)
        #expect(unsafe truncate(self.directory.file(), 0) == 0)
        self.clock.now = self.clock.now + .seconds(1)
        try self.write("a\n", to: file)
        #expect(self.directory.text() == "a\n" && self.rotations.current == 0)
    }

    @Test("old files are compressed where that is wanted, and can be read by gzip")
    func compresses() throws {
        let text = self.lines(1000) + "end\n"
        try self.directory.write(text, to: "chassis-2026-11-27T00-00-00.000.log")
        try LogCompression.compress(self.directory.file("chassis-2026-11-27T00-00-00.000.log"))
        let name = "chassis-2026-11-27T00-00-00.000.log.gz"
        #expect(self.directory.names == [name])
        let gzip = Process()
        let output = Pipe()
        gzip.executableURL = URL(fileURLWithPath: "/usr/bin/gzip")
        gzip.arguments = ["-dc", self.directory.file(name)]
        gzip.standardOutput = output
        try gzip.run()
        #expect(String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self) == text)
        #expect(throws: LogFailure.self) { try LogCompression.compress(self.directory.file("none")) }
    }

    @Test("compression takes every old file, on a thread of its own", .timeLimit(.minutes(1)))
    func compressesAll() async throws {
        for day in 1...3 { try self.directory.write("x", to: "chassis-2026-11-2\(day)T00-00-00.000.log") }
        let file = self.file {
            $0.isCompressing = true
            $0.ageInDays = 0
        }
        try self.write("a\n", to: file)
        let expected = (1...3).map { "chassis-2026-11-2\($0)T00-00-00.000.log.gz" } + ["chassis.log"]
        while self.directory.names != expected, !Task.isCancelled { await Task.yield() }
        #expect(self.errors.current == 0)
    }

    @Test("what cannot be written is told of once a minute, and tried again")
    func complains() throws {
        try self.directory.write("", to: "file")
        let file = self.file("file/chassis.log")
        for second in 0..<61 {
            #expect(throws: LogFailure.self) { try self.write("lost\n", to: file) }
            file.open(at: self.clock.now)
            self.clock.now = self.clock.now + .seconds(second == 60 ? 0 : 1)
        }
        let told = self.standardError.read().split(separator: "\n")
        #expect(self.errors.current == 61 && told.count == 2)
        #expect(told[0].contains("cannot open the log") && told[0].contains("Not a directory"))
        #expect(told[1].contains(#""unsaid":"59""#))
        #expect(unsafe unlink(self.directory.file("file")) == 0)
        try self.write("found\n", to: file)
        #expect(self.directory.text("file/chassis.log") == "found\n")
    }
}
