// SPDX-License-Identifier: Apache-2.0

import Foundation
import Synchronization

@testable import Common

/// A directory that is gone when the test is.
final class LogDirectory: Sendable {
    let path: String

    init() throws {
        self.path = NSTemporaryDirectory() + "mesher-log-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: self.path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: self.path) }

    /// The path of a file in it.
    func file(_ name: String = "chassis.log") -> String { "\(self.path)/\(name)" }

    /// All names, sorted.
    var names: [String] { ((try? FileManager.default.contentsOfDirectory(atPath: self.path)) ?? []).sorted() }

    /// What is in a file; `nil` when there is none.
    func text(_ name: String = "chassis.log") -> String? {
        FileManager.default.contents(atPath: self.file(name)).map { String(decoding: $0, as: UTF8.self) }
    }

    /// Makes a file.
    func write(_ text: String, to name: String = "chassis.log") throws {
        try Data(text.utf8).write(to: URL(fileURLWithPath: self.file(name)))
    }
}

/// A clock that a test sets; it begins at 2026-11-28T00:12:34.567Z.
final class LogClock: Sendable {
    static let start = WallTime(milliseconds: 1_795_824_754_567)
    private let time = Mutex(LogClock.start)

    var now: WallTime {
        get { self.time.withLock { $0 } }
        set { self.time.withLock { $0 = newValue } }
    }
}

/// A pipe; what was written to it can be read.
final class LogPipe: Sendable {
    let reader: Int32
    let writer: Int32

    init() {
        var ends: [Int32] = [0, 0]
        _ = unsafe pipe(&ends)
        (self.reader, self.writer) = (ends[0], ends[1])
    }

    /// One end only.
    init(reader: Int32) { (self.reader, self.writer) = (reader, -1) }

    /// What ``fill()`` puts in.
    static let filling: Character = "-"

    /// Takes all the room, so that whoever writes next waits.
    func fill() -> Bool {
        let filling = [UInt8](repeating: 0x2d, count: 4096)
        _ = fcntl(self.writer, F_SETFL, O_NONBLOCK)
        while unsafe write(self.writer, filling, filling.count) > 0 {}
        let isFull = errno == EAGAIN
        _ = fcntl(self.writer, F_SETFL, 0)
        return isFull
    }

    deinit {
        close(self.reader)
        close(self.writer)
    }

    /// Everything that is in the pipe now.
    func read() -> String {
        _ = fcntl(self.reader, F_SETFL, O_NONBLOCK)
        var text: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = unsafe Foundation.read(self.reader, &buffer, buffer.count)
            guard count > 0 else { return String(decoding: text, as: UTF8.self) }
            text += buffer[..<count]
        }
    }
}

extension LogOutput {
    /// Writes `text` as one line.
    func write(text: String) { self.write(Array("\(text)\n".utf8)) }
}
