// SPDX-License-Identifier: Apache-2.0

import CMesher
import Glibc

/// What is known of this process's memory, as plain text for people.
///
/// It is not a heap profile: Swift's allocations are not recorded, so there are no call stacks.
enum HeapReport {
    /// The report of now.
    ///
    /// Cost: milliseconds to tens of them. The allocator locks each arena while it walks its free blocks, so threads that
    /// allocate may wait that long. Not for an event loop.
    static func text() -> String {
        var totals = cmesher_allocator_totals()
        let isKnown = unsafe cmesher_allocator_read(&totals)
        let document = unsafe cmesher_allocator_document()
        defer { unsafe free(document) }
        let info = unsafe document.map { MallocInfo(document: unsafe String(cString: $0)) }
        return Self.render(
            status: ProcFile.text("/proc/self/status"), rollup: ProcFile.text("/proc/self/smaps_rollup"),
            totals: isKnown ? totals : nil, info: info)
    }

    /// Lays the report out.
    ///
    /// - Parameter status: The text of `/proc/self/status`, and `rollup` that of `/proc/self/smaps_rollup`.
    /// - Parameter totals: `nil` when the allocator does not tell; likewise `info`.
    static func render(
        status: String, rollup: String, totals: cmesher_allocator_totals?, info: MallocInfo?
    ) -> String {
        var text = """
            Memory of this process: what the system counts, and what glibc's allocator says of itself.
            This is no heap profile. Allocations are not recorded, so there are no call stacks and no types:
            it tells how much memory there is, not whose it is. Sizes are in KiB (1,024 bytes).

            """
        text += Self.section("Process (/proc/self/status)", Self.fields(status, Self.statusFields))
        text += Self.section("Mappings (/proc/self/smaps_rollup)", Self.fields(rollup, Self.rollupFields))
        if let totals {
            text += Self.section("Allocator, all arenas (mallinfo2)", Self.rows(totals))
        } else {
            text += Self.section("Allocator", [("not known", "this is not glibc 2.33 or newer", "")])
        }
        if let info { text += Self.arenas(info.arenas) + Self.freeSizes(info.freeSizes) }
        return text
    }

    private static let statusFields = [
        ("VmRSS", "resident now"), ("VmHWM", "resident at most, since the start"),
        ("RssAnon", "resident: heap, stacks and other memory of its own"), ("RssFile", "resident: files, the program"),
        ("VmSwap", "swapped out"), ("VmData", "address space that can be written"), ("VmSize", "address space"),
        ("Threads", "threads (a number)"),
    ]

    private static let rollupFields = [
        ("Pss", "resident, shared pages divided among those who share them"), ("Private_Dirty", "written, not shared"),
        ("Private_Clean", "not written, not shared"), ("Shared_Clean", "not written, shared with others"),
        ("AnonHugePages", "in huge pages"), ("LazyFree", "given back, not taken by the system yet"),
    ]

    private static func rows(_ totals: cmesher_allocator_totals) -> [(String, String, String)] {
        [
            ("arenas", Self.kibibytes(totals.arenas), "taken from the system for the arenas"),
            ("used", Self.kibibytes(totals.used), "of these handed out, or in a thread's cache; overhead included"),
            ("free", Self.kibibytes(totals.free), "of these free"),
            ("trimmable", Self.kibibytes(totals.trimmable), "free at the end of the main arena"),
            (
                "mapped", Self.kibibytes(totals.mapped),
                "large blocks with mappings of their own, besides the arenas: \(totals.mapped_blocks) blocks"
            ),
        ]
    }

    private static func arenas(_ arenas: [MallocInfo.Arena]) -> String {
        var text = "\nArenas (malloc_info)\n" + Self.columns(["arena", "system", "used", "free", "free blocks"])
        for arena in arenas {
            text += Self.columns([
                "\(arena.number)", Self.kibibytes(arena.system), Self.kibibytes(max(0, arena.system - arena.free)),
                Self.kibibytes(arena.free), "\(arena.freeBlocks)",
            ])
        }
        return text
    }

    private static func freeSizes(_ sizes: [MallocInfo.FreeSize]) -> String {
        var text = "\nFree blocks by size in bytes (malloc_info)\n" + Self.columns(["from", "to", "blocks", "KiB"])
        for size in sizes {
            text += Self.columns([
                "\(size.sizes.lowerBound)", "\(size.sizes.upperBound)", "\(size.blocks)", Self.kibibytes(size.total),
            ])
        }
        return text
    }

    /// Lines of `Name:   123 kB` whose names are wanted, in the order of those.
    private static func fields(_ text: String, _ wanted: [(String, String)]) -> [(String, String, String)] {
        var values: [Substring: Substring] = [:]
        for line in text.split(separator: "\n") {
            let parts = line.split { $0 == " " || $0 == "\t" || $0 == ":" }
            if parts.count > 1 { values[parts[0]] = parts[1] }
        }
        return wanted.compactMap { name, meaning in values[Substring(name)].map { (name, String($0), meaning) } }
    }

    private static func section(_ title: String, _ rows: [(String, String, String)]) -> String {
        guard !rows.isEmpty else { return "\n\(title)\n  not available\n" }
        return rows.reduce("\n\(title)\n") { text, row in
            text + "  " + row.0.padded(to: 14) + row.1.padded(to: -12) + (row.2.isEmpty ? "" : "  " + row.2) + "\n"
        }
    }

    private static func columns(_ cells: [String]) -> String {
        "  " + cells.map { $0.padded(to: -12) }.joined() + "\n"
    }

    private static func kibibytes(_ bytes: some BinaryInteger) -> String { "\((bytes + 1023) / 1024)" }
}

extension String {
    /// With blanks behind it to this width; before it when the width is negative.
    fileprivate func padded(to width: Int) -> String {
        let blanks = String(repeating: " ", count: max(0, abs(width) - self.count))
        return width < 0 ? blanks + self : self + blanks
    }
}
