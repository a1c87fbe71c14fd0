// SPDX-License-Identifier: Apache-2.0

/// Which file is mapped where in a process.
///
/// - Source: proc_pid_maps(5).
struct MemoryMap: Sendable {
    /// One range of addresses that may be executed.
    struct Entry: Hashable, Sendable {
        /// Its addresses.
        let addresses: Range<UInt>
        /// What its first address shows, in bytes from the start of the file.
        let fileOffset: UInt64
        /// The file; `[vdso]` and the like for what is none, empty for memory of no name.
        let path: String

        /// Where in the file the byte at `address` is, which must be one of `addresses`.
        func fileOffset(of address: UInt) -> UInt64 { self.fileOffset &+ UInt64(address - self.addresses.lowerBound) }
    }

    /// In the order of addresses.
    let executable: [Entry]

    /// The map of this process, as it is now.
    ///
    /// Cost: reads and parses some ten kilobytes.
    static func current() -> MemoryMap { MemoryMap(text: ProcFile.text("/proc/self/maps")) }

    /// Parses the text of `/proc/…/maps`; lines that are none are left out.
    init(text: String) {
        self.executable = text.split(separator: "\n").compactMap(Self.entry).sorted {
            $0.addresses.lowerBound < $1.addresses.lowerBound
        }
    }

    /// The executable range that `address` is in.
    ///
    /// Cost: O(log n).
    func entry(at address: UInt) -> Entry? {
        var low = 0
        var high = self.executable.count
        while low < high {
            let middle = low + (high - low) / 2
            if self.executable[middle].addresses.upperBound <= address { low = middle + 1 } else { high = middle }
        }
        guard low < self.executable.count, self.executable[low].addresses.contains(address) else { return nil }
        return self.executable[low]
    }

    /// `55d0c0000000-55d0c0001000 r-xp 00002000 08:01 1234   /path/with spaces`.
    private static func entry(_ line: Substring) -> Entry? {
        let fields = line.split(separator: " ", maxSplits: 5)
        guard fields.count >= 5, fields[1].contains("x") else { return nil }
        let ends = fields[0].split(separator: "-")
        guard
            ends.count == 2, let start = UInt(ends[0], radix: 16), let end = UInt(ends[1], radix: 16), start < end,
            let offset = UInt64(fields[2], radix: 16)
        else { return nil }
        let path = fields.count > 5 ? fields[5].drop { $0 == " " } : ""
        return Entry(addresses: start..<end, fileOffset: offset, path: String(path))
    }
}
