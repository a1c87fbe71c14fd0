// SPDX-License-Identifier: Apache-2.0

import CMesher
import FoundationEssentials
import Glibc

/// The memory of this process, and what the system allows it.
package struct ProcessMemory: Sendable {
    /// How much is resident, in bytes; `nil` when the system does not tell.
    package let resident: @Sendable () -> Int?
    /// The limit that the system sets, in bytes; `nil` when there is none.
    package let limit: @Sendable () -> Int?

    /// A stand-in, for tests.
    package init(resident: @escaping @Sendable () -> Int?, limit: @escaping @Sendable () -> Int?) {
        self.resident = resident
        self.limit = limit
    }

    /// That of Linux: `/proc/self/statm`, and the control group of version 2 or 1.
    package static let system = ProcessMemory(
        resident: {
            Self.text("/proc/self/statm").flatMap { Self.resident($0, pageSize: Int(sysconf(Int32(_SC_PAGESIZE)))) }
        },
        limit: { Self.text("/proc/self/cgroup").flatMap { Self.limit(groups: $0, read: Self.text) } })

    /// Gives back to the system what was freed, which the allocator otherwise keeps: the level might never fall.
    package static func trim() { cmesher_trim_memory() }

    /// The resident bytes in the text of `statm`, whose second number counts pages.
    package static func resident(_ statm: String, pageSize: Int) -> Int? {
        let fields = statm.split(separator: " ")
        return fields.count > 1 ? Int(fields[1]).map { $0 * pageSize } : nil
    }

    /// The smallest limit of the control group and those that it is in.
    ///
    /// A container may see its own group as the root, whatever the path says; so the root is looked at as well.
    ///
    /// - Parameter groups: The text of `/proc/self/cgroup`.
    /// - Parameter read: The text of a file; `nil` when there is none.
    /// - Returns: `nil` when nothing is limited.
    /// - Source: cgroups(7): `0::/path` is version 2, `n:memory:/path` version 1.
    package static func limit(groups: String, read: (String) -> String?) -> Int? {
        var limits: [Int] = []
        for line in groups.split(separator: "\n") {
            let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3 else { continue }
            let (root, file): (String, String)
            if fields[0] == "0", fields[1].isEmpty {
                (root, file) = ("/sys/fs/cgroup", "memory.max")
            } else if fields[1].split(separator: ",").contains("memory") {
                (root, file) = ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            } else {
                continue
            }
            var names = fields[2].split(separator: "/").filter { $0 != ".." }
            while true {
                let folder = ([root] + names.map(String.init)).joined(separator: "/")
                if let text = read("\(folder)/\(file)"), let limit = Int(text.filter { !$0.isWhitespace }) {
                    limits.append(limit)
                }
                if names.popLast() == nil { break }
            }
        }
        // Version 1 writes "none" as nearly 2^63.
        return limits.filter { $0 > 0 && $0 < 1 << 60 }.min()
    }

    private static func text(_ path: String) -> String? {
        FileManager.default.contents(atPath: path).map { String(decoding: $0, as: UTF8.self) }
    }
}
