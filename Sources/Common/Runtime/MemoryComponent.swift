// SPDX-License-Identifier: Apache-2.0

import CMesher
import Foundation
package import Logging

/// Watches how much memory the process uses, and tells the event loops when it is too much.
package actor MemoryComponent: Component {
    private let state: OverloadState
    private let inbox: Mailbox<TrafficMessage>
    private let logger: Logger
    /// What the configuration allows; 0 for whatever the container allows.
    private var configured: Int
    private let container: Int

    private static let interval = Duration.milliseconds(500)

    /// A component that writes to `state`.
    ///
    /// - Parameter configured: Bytes; 0 stands for the limit of the control group, if it has one.
    package init(
        _ configured: Int, state: OverloadState, inbox: Mailbox<TrafficMessage>, logger: Logger
    ) {
        self.configured = configured
        self.state = state
        self.inbox = inbox
        self.logger = logger
        self.container = ControlGroup.memoryLimit() ?? 0
    }

    package func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await self.readInbox() }
            group.addTask {
                while true {
                    await self.measure()
                    try await Task.sleep(for: Self.interval)
                }
            }
            try await group.next()
            group.cancelAll()
        }
    }

    private func readInbox() async {
        while let message = await self.inbox.receive() {
            switch message {
            case .configurationChanged(let config):
                self.configured = config.proxy.maxMemory
                self.measure()
            }
        }
    }

    private func measure() {
        let limit = self.configured > 0 ? self.configured : self.container
        guard let resident = Self.resident() else { return }
        if let level = self.state.update(resident: resident, limit: limit) {
            self.logger.log(
                level: level == .normal ? .notice : .warning, "memory",
                metadata: ["level": "\(level)", "resident": "\(resident)", "limit": "\(limit)"])
        }
        // What was freed is the allocator's still: without this the level might never fall.
        if self.state.level > .normal { cmesher_trim_memory() }
    }

    /// Resident bytes of this process; `nil` where the system does not tell.
    private static func resident() -> Int? {
        guard let data = FileManager.default.contents(atPath: "/proc/self/statm") else { return nil }
        let fields = String(decoding: data, as: UTF8.self).split(separator: " ")
        return fields.count > 1 ? Int(fields[1]).map { $0 * Int(getpagesize()) } : nil
    }
}

/// The control group of the process: a container's limits.
package enum ControlGroup {
    /// The smallest memory limit of the group and those around it, in bytes; `nil` when there is none.
    ///
    /// - Parameter root: Where the file system of control groups is mounted.
    /// - Source: cgroups(7); `memory.max` of version 2, `memory.limit_in_bytes` of version 1.
    package static func memoryLimit(
        groups: String = "/proc/self/cgroup", root: String = "/sys/fs/cgroup"
    ) -> Int? {
        var limits: [Int] = []
        for line in Self.text(groups).split(separator: "\n") {
            let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3 else { continue }
            let isUnified = fields[1].isEmpty
            guard isUnified || fields[1].split(separator: ",").contains("memory") else { continue }
            let file = isUnified ? "memory.max" : "memory.limit_in_bytes"
            var path = isUnified ? root : "\(root)/memory"
            // In a container the path is the host's and may not exist here; the group's own files are at the root.
            for part in [Substring("")] + fields[2].split(separator: "/") {
                path += part.isEmpty ? "" : "/\(part)"
                if let limit = Int(Self.text("\(path)/\(file)").filter(\.isNumber)) { limits.append(limit) }
            }
        }
        // Version 1 says "none" with a number near the largest.
        return limits.filter { $0 > 0 && $0 < 1 << 60 }.min()
    }

    private static func text(_ path: String) -> String {
        FileManager.default.contents(atPath: path).map { String(decoding: $0, as: UTF8.self) } ?? ""
    }
}
