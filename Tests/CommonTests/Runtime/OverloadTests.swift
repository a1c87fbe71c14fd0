// SPDX-License-Identifier: Apache-2.0

import Common
import Foundation
import Testing

@Suite struct OverloadTests {
    @Test("enters a level at its share, and leaves it five points below")
    func levels() {
        var level = OverloadLevel.normal
        let seen = [80, 85, 86, 84, 81, 80, 86, 95, 96, 94, 91, 90, 85, 79, 99, 10].map { used in
            level = level.next(used: used, limit: 100)
            return level
        }
        #expect(
            seen == [
                .normal, .normal, .high, .high, .high, .normal, .high, .high, .critical, .critical, .critical, .high,
                .high, .normal, .critical, .normal,
            ])
    }

    @Test("without a limit nothing is too much")
    func unlimited() { #expect(OverloadLevel.critical.next(used: .max, limit: 0) == .normal) }

    @Test("a state tells of changes, and only of those")
    func state() {
        let state = OverloadState()
        #expect(state.update(resident: 90, limit: 100) == .high)
        #expect(state.update(resident: 91, limit: 100) == nil)
        #expect(state.update(resident: 91, limit: 200) == .normal)
        #expect(state.level == .normal && state.limit == 200)
    }
}

@Suite struct ControlGroupTests {
    /// Writes a small file system of control groups.
    private func limit(_ groups: String, _ files: [String: String]) throws -> Int? {
        let root = FileManager.default.temporaryDirectory.appendingPathComponent("cgroups-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: root) }
        for (path, text) in files {
            let file = root.appendingPathComponent(path)
            try FileManager.default.createDirectory(
                at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
            try text.write(to: file, atomically: true, encoding: .utf8)
        }
        let list = root.appendingPathComponent("list")
        try groups.write(to: list, atomically: true, encoding: .utf8)
        return ControlGroup.memoryLimit(groups: list.path, root: root.path)
    }

    @Test("version 2: the smallest limit on the way to the group")
    func unified() throws {
        let files = ["a/memory.max": "2000\n", "a/b/memory.max": "max\n", "memory.max": "3000\n"]
        #expect(try self.limit("0::/a/b\n", files) == 2000)
        #expect(try self.limit("0::/\n", files) == 3000)
        #expect(try self.limit("0::/../../host/path\n", files) == 3000, "in a container the path is the host's")
    }

    @Test("version 1: a number near the largest is none")
    func old() throws {
        let files = [
            "memory/x/memory.limit_in_bytes": "5000\n", "memory/memory.limit_in_bytes": "9223372036854771712\n",
        ]
        #expect(try self.limit("5:cpu:/x\n4:memory:/x\n", files) == 5000)
        #expect(try self.limit("4:cpu,memory:/\n", files) == nil)
        #expect(try self.limit("", files) == nil)
    }
}
