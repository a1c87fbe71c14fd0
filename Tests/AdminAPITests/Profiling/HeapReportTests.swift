// SPDX-License-Identifier: Apache-2.0

import CMesher
import Testing

@testable import AdminAPI

@Suite("heap report")
struct HeapReportTests {
    @Test("lays out what is known") func layout() {
        let totals = cmesher_allocator_totals(
            arenas: 139_264, used: 133_000, free: 6_264, trimmable: 2_048, mapped: 1_048_576, mapped_blocks: 1)
        let text = HeapReport.render(
            status: "Name:\tmesher\nVmHWM:\t   20000 kB\nVmRSS:\t   10000 kB\nThreads:\t7\n",
            rollup: "Pss:   9000 kB\n",
            totals: totals, info: MallocInfo(document: MallocInfoTests.document))
        for line in [
            "  VmRSS                10000  resident now\n", "  Pss                   9000  ",
            "  arenas                 136  taken from the system for the arenas\n", "besides the arenas: 1 blocks\n",
            "           0         132         127           6           5\n",
            "          33          48           3           1\n", "no call stacks",
        ] {
            #expect(text.contains(line))
        }
        #expect(text.split(separator: "\n").allSatisfy { $0.count <= 120 })
    }

    @Test("says so when nothing is known") func nothing() {
        let text = HeapReport.render(status: "", rollup: "", totals: nil, info: nil)
        #expect(text.contains("not available"))
        #expect(text.contains("not known"))
    }

    @Test("of this process has figures") func own() throws {
        let text = HeapReport.text()
        let line = try #require(text.split(separator: "\n").first { $0.hasPrefix("  VmRSS") })
        let resident = try #require(line.split(separator: " ").compactMap { Int($0) }.first)
        #expect(resident > 1_000)
    }

    @Test("counts what is allocated") func counts() {
        var before = cmesher_allocator_totals()
        var after = cmesher_allocator_totals()
        guard unsafe cmesher_allocator_read(&before) else { return }  // not glibc
        let large = [UInt8](repeating: 1, count: 64 * 1024 * 1024)
        #expect(unsafe cmesher_allocator_read(&after))
        #expect(after.mapped >= before.mapped + UInt64(large.count) / 2)
    }
}
