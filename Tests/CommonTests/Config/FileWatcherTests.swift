// SPDX-License-Identifier: Apache-2.0

import Common
import Foundation
import Testing

@Suite struct FileWatcherTests {
    private let path = FileManager.default.temporaryDirectory.appendingPathComponent("watched-\(UUID().uuidString)")
        .path

    /// Writes into the file that is there, which gets the time of its last change that it had before.
    private func overwrite(_ text: String) throws {
        let before = try FileManager.default.attributesOfItem(atPath: self.path)[.modificationDate]
        let file = try #require(FileHandle(forWritingAtPath: self.path))
        try file.write(contentsOf: Data(text.utf8))
        try file.close()
        try FileManager.default.setAttributes([.modificationDate: try #require(before)], ofItemAtPath: self.path)
    }

    @Test("sees a change that leaves size and time of the file as they were")
    func sameSizeAndTime() throws {
        try "one".write(toFile: self.path, atomically: true, encoding: .utf8)
        var watcher = FileWatcher(self.path)
        #expect(watcher.look() == .changed(Array("one".utf8)))
        for text in ["two", "six", "ten"] {
            try self.overwrite(text)
            #expect(watcher.look() == .changed(Array(text.utf8)))
            #expect(watcher.look() == .unchanged)
        }
        try self.overwrite("ten")
        #expect(watcher.look() == .unchanged)
        try FileManager.default.removeItem(atPath: self.path)
        #expect(watcher.look() == .missing)
        #expect(watcher.look() == .unchanged)
    }
}
