// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import Synchronization

/// What the handler `monitoring` counts: the framework's families, by path and method.
///
/// Bounded: paths beyond ``mostPaths`` count as `other`. Quantiles are of the last ``samples`` requests of each.
///
/// - Source: the handler `monitoring` of go-chassis.
final class RequestStatistics: Sendable {
    /// Different paths that are told apart.
    static let mostPaths = 100
    /// Durations kept for quantiles.
    static let samples = 500
    /// A path that is longer is cut.
    static let longestPath = 100

    private struct Key: Hashable {
        let path: String
        let method: String
    }

    private struct Values {
        var requests = 0
        var milliseconds = 0.0
        var recent: [Double] = []
        var next = 0
        var errors: [Int: Int] = [:]

        mutating func add(_ value: Double) {
            self.requests += 1
            self.milliseconds += value
            if self.recent.count < RequestStatistics.samples {
                self.recent.append(value)
            } else {
                self.recent[self.next] = value
                self.next = (self.next + 1) % RequestStatistics.samples
            }
        }
    }

    private let values = Mutex<[Key: Values]>([:])
    private let own: ServiceIdentity

    init(_ own: ServiceIdentity) { self.own = own }

    private static let methods: Set<String> = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT"]

    /// Counts a request.
    func count(_ record: ExchangeRecord, of records: ExchangeRecords) {
        let path = records.path(record)
        let method = records.string(records.method(record))
        var key = Key(
            path: records.string(path.clamped(to: 0..<path.lowerBound + Self.longestPath)),
            method: Self.methods.contains(method) ? method : "other")
        self.values.withLock { values in
            if values[key] == nil, values.count >= Self.mostPaths { key = Key(path: "other", method: "other") }
            values[key, default: Values()].add(Double(record.duration.nanoseconds) / 1e6)
            if record.status >= 500 { values[key, default: Values()].errors[record.status, default: 0] += 1 }
        }
    }

    /// The families; empty as long as nothing was counted.
    func families() -> [MetricFamily] {
        let values = self.values.withLock { $0 }
        var requests = MetricFamily("scb_request_count", help: "Requests, by path.", kind: .counter)
        var durations = MetricFamily(
            "scb_request_process_duration", help: "How long they took, in milliseconds.", kind: .summary)
        var errors = MetricFamily(
            "scb_error_response_count", help: "Answers with a status of 500 or above.", kind: .counter)
        for (key, value) in values.sorted(by: { ($0.key.path, $0.key.method) < ($1.key.path, $1.key.method) }) {
            let labels = self.labels(key)
            requests.add(Double(value.requests), labels)
            let sorted = value.recent.sorted()
            for share in [0.5, 0.9, 0.99] {
                let index = min(sorted.count - 1, Int(share * Double(sorted.count)))
                durations.add(sorted[index], labels, extra: "quantile=\"\(share)\"")
            }
            durations.add(value.milliseconds, labels, suffix: "_sum")
            durations.add(Double(value.requests), labels, suffix: "_count")
            for (code, count) in value.errors.sorted(by: { $0.key < $1.key }) {
                errors.add(Double(count), labels, extra: "code=\"\(code)\"")
            }
        }
        return [requests, durations, errors]
    }

    private func labels(_ key: Key) -> MetricLabels {
        MetricLabels([
            "service": self.own.name, "instance": self.own.hostName, "version": self.own.version,
            "app": self.own.app, "env": self.own.environment, "API": key.path, "method": key.method,
        ])
    }
}
