// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import Synchronization

/// The newest requests that failed, for operators; older ones make room.
final class FailureList: Sendable {
    /// How many are kept.
    static let capacity = 100
    /// A path that is longer is cut: it is for people.
    static let longestPath = 300

    private let failures = Mutex<[TrafficDocument.Failure]>([])

    /// Newest first.
    var newestFirst: [TrafficDocument.Failure] { self.failures.withLock { $0 }.reversed() }

    /// Adds a failure.
    ///
    /// - Parameter time: When the request began, in microseconds since 1970.
    func add(_ record: ExchangeRecord, of records: ExchangeRecords, at time: Int) {
        let service = record.service?.name ?? records.string(records.host(record))
        // Without the query, where secrets stand: anybody may read this who reaches the admin API.
        let path = records.path(record)
        let failure = TrafficDocument.Failure(
            time: Double(time) / 1e6, direction: record.side == .consumer ? "outgoing" : "incoming", service: service,
            method: records.string(records.method(record)),
            path: records.string(path.clamped(to: 0..<path.lowerBound + Self.longestPath)),
            status: record.status, reason: record.reason?.rawValue ?? "answered_\(record.status)",
            text: Self.text(record), endpoint: record.endpoint?.description, traceId: record.trace?.traceID,
            attempts: record.attempts, milliseconds: Double(record.duration.nanoseconds) / 1e6)
        self.failures.withLock { failures in
            if failures.count >= Self.capacity { failures.removeFirst() }
            failures.append(failure)
        }
    }

    private static func text(_ record: ExchangeRecord) -> String {
        if let reason = record.reason { return reason.explanation }
        if let status = record.grpcStatus, status != 0 { return "the instance answered with gRPC status \(status)" }
        return "the instance answered with status \(record.status)"
    }
}
