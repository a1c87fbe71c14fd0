// SPDX-License-Identifier: Apache-2.0

package import Common
package import Logging

/// Watches the memory of the process: looks once a second, and says how close it is to its limit.
package actor MemoryComponent: Component {
    private let overload: Overload
    private let resident: @Sendable () -> Int?
    private let interval: Duration
    private let onChange: @Sendable (Overload.Level) -> Void
    private let logger: Logger

    /// A component that writes to `overload`.
    ///
    /// - Parameter resident: The memory in use, in bytes; `nil` when it is not known.
    /// - Parameter onChange: Called with each new level.
    package init(
        _ overload: Overload, interval: Duration = .seconds(1), logger: Logger,
        resident: @escaping @Sendable () -> Int?,
        onChange: @escaping @Sendable (Overload.Level) -> Void
    ) {
        self.overload = overload
        self.resident = resident
        self.interval = interval
        self.onChange = onChange
        self.logger = logger
    }

    package func run() async throws {
        while !Task.isCancelled {
            self.look()
            try await Task.sleep(for: self.interval)
        }
    }

    private func look() {
        guard let used = self.resident() else { return }
        let limit = self.overload.limit
        let level = self.overload.level
        let next = level.next(used: used, limit: limit)
        if next > .normal { ProcessMemory.trim() }
        guard next != level else { return }
        self.overload.set(next)
        self.onChange(next)
        let metadata: Logger.Metadata = ["level": "\(next)", "used": "\(used)", "limit": "\(limit)"]
        if next > level {
            self.logger.warning("memory is running out", metadata: metadata)
        } else {
            self.logger.notice("memory pressure has fallen", metadata: metadata)
        }
    }
}
