// SPDX-License-Identifier: Apache-2.0
// request path

import Synchronization

/// How close the process is to its memory limit: a slot that one watcher writes and every event loop reads.
///
/// - Source: promise U14.
package final class Overload: Sendable {
    /// What follows from the memory in use.
    package enum Level: UInt8, Sendable, Comparable, CaseIterable {
        /// Nothing.
        case normal
        /// Connections end with the answer in flight, and none is kept for later.
        case high
        /// Requests are refused, and no connection is accepted.
        case critical

        /// Whether `left` is the less serious one.
        package static func < (left: Level, right: Level) -> Bool { left.rawValue < right.rawValue }

        /// The level that follows this one.
        ///
        /// High from 85 % of the limit on, critical from 95 % on; each ends three points lower than it begins, so that
        /// a process at the edge does not change its mind every second.
        ///
        /// - Parameter limit: 0 for none.
        package func next(used: Int, limit: Int) -> Level {
            guard limit > 0 else { return .normal }
            let percent = Double(used) / Double(limit) * 100
            if percent >= 95 || (self == .critical && percent >= 92) { return .critical }
            if percent >= 85 || (self > .normal && percent >= 82) { return .high }
            return .normal
        }
    }

    private let current = Atomic<UInt8>(0)
    private let configured: Atomic<Int>
    private let systemLimit: Int

    /// A slot at the level `normal`.
    ///
    /// - Parameter limit: The configured limit in bytes; 0 stands for the system's.
    /// - Parameter systemLimit: The limit that the system sets the process, in bytes; 0 for none.
    package init(limit: Int = 0, systemLimit: Int = 0) {
        self.configured = Atomic(limit)
        self.systemLimit = systemLimit
    }

    /// See ``Level``.
    package var level: Level { Level(rawValue: self.current.load(ordering: .relaxed)) ?? .normal }

    /// Whether connections end with the answer in flight.
    @inline(__always)
    package var endsConnections: Bool { self.current.load(ordering: .relaxed) >= Level.high.rawValue }

    /// Whether requests are refused.
    @inline(__always)
    package var refusesRequests: Bool { self.current.load(ordering: .relaxed) >= Level.critical.rawValue }

    /// Makes `level` the present one.
    package func set(_ level: Level) { self.current.store(level.rawValue, ordering: .relaxed) }

    /// The limit that holds, in bytes; 0 for none.
    package var limit: Int {
        let configured = self.configured.load(ordering: .relaxed)
        return configured > 0 ? configured : self.systemLimit
    }

    /// Changes the configured limit; the watcher sees it at its next look.
    package func setLimit(_ limit: Int) { self.configured.store(limit, ordering: .relaxed) }
}
