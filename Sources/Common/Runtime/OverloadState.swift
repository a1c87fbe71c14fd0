// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// How close the process is to its memory limit.
package enum OverloadLevel: UInt8, Sendable, Comparable {
    /// Far enough.
    case normal
    /// Above 85 %: connections are not kept open, so that clients go elsewhere and buffers are freed.
    case high
    /// Above 95 %: requests are refused, and no connection is accepted.
    case critical

    /// By urgency.
    package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }

    /// The level that follows on this one.
    ///
    /// A level is left only 5 points below the share at which it was entered, so that it does not flicker.
    ///
    /// - Source: promise U14.
    package func next(used: Int, limit: Int) -> OverloadLevel {
        guard limit > 0 else { return .normal }
        let percent = Double(used) * 100 / Double(limit)
        if percent > (self == .critical ? 90 : 95) { return .critical }
        return percent > (self >= .high ? 80 : 85) ? .high : .normal
    }
}

/// What the event loops read of the process's memory: written by ``MemoryComponent`` twice a second.
package final class OverloadState: Sendable {
    private let rawLevel = Atomic<UInt8>(0)
    private let rawLimit = Atomic<Int>(0)
    private let rawResident = Atomic<Int>(0)

    /// Not overloaded, and without a limit.
    package init() {}

    /// See ``OverloadLevel``.
    @inline(__always)
    package var level: OverloadLevel { OverloadLevel(rawValue: self.rawLevel.load(ordering: .relaxed)) ?? .normal }

    /// Bytes that the process may use; 0 when nobody limits it.
    package var limit: Int { self.rawLimit.load(ordering: .relaxed) }

    /// Takes a measurement.
    ///
    /// - Returns: The new level, when it is another than before.
    package func update(resident: Int, limit: Int) -> OverloadLevel? {
        self.rawResident.store(resident, ordering: .relaxed)
        self.rawLimit.store(limit, ordering: .relaxed)
        let before = self.level
        let level = before.next(used: resident, limit: limit)
        self.rawLevel.store(level.rawValue, ordering: .relaxed)
        return level == before ? nil : level
    }

    /// Shows limit, use and level.
    package func register(with metrics: MetricsRegistry) {
        metrics.addCollector {
            func gauge(_ name: String, _ value: Int, _ help: String) -> MetricFamily {
                var family = MetricFamily(name, help: help, kind: .gauge)
                family.add(Double(value), MetricLabels())
                return family
            }
            return [
                gauge("mesher_memory_limit_bytes", self.limit, "Memory that the process may use; 0 without a limit."),
                gauge(
                    "mesher_memory_resident_bytes", self.rawResident.load(ordering: .relaxed),
                    "Memory that the process uses."),
                gauge(
                    "mesher_overload_level", Int(self.level.rawValue),
                    "0 normal, 1 connections are not kept open, 2 requests are refused."),
            ]
        }
    }
}
