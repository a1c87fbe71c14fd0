// SPDX-License-Identifier: Apache-2.0

import CMesher
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
            ControlGroups.text("/proc/self/statm").flatMap {
                Self.resident($0, pageSize: Int(sysconf(Int32(_SC_PAGESIZE))))
            }
        },
        limit: { ControlGroups.own.flatMap { Self.limit($0) } })

    /// Gives back to the system what was freed, which the allocator otherwise keeps: the level might never fall.
    package static func trim() { cmesher_trim_memory() }

    /// The resident bytes in the text of `statm`, whose second number counts pages.
    package static func resident(_ statm: String, pageSize: Int) -> Int? {
        let fields = statm.split(separator: " ")
        return fields.count > 1 ? Int(fields[1]).map { $0 * pageSize } : nil
    }

    /// The smallest limit of the control group and those that it is in.
    ///
    /// - Parameter groups: The text of `/proc/self/cgroup`.
    /// - Parameter read: The text of a file; `nil` when there is none.
    /// - Returns: `nil` when nothing is limited.
    package static func limit(groups: String, read: @escaping (String) -> String?) -> Int? {
        Self.limit(ControlGroups(groups, read: read))
    }

    private static func limit(_ groups: ControlGroups) -> Int? {
        let limits = groups.limits(of: "memory") { version, read in
            read(version == .two ? "memory.max" : "memory.limit_in_bytes").flatMap { text in
                Int(text.filter { !$0.isWhitespace })
            }
        }
        // Version 1 writes "none" as nearly 2^63.
        return limits.filter { $0 > 0 && $0 < 1 << 60 }.min()
    }
}
