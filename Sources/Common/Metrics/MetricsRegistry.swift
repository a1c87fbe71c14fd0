// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// What a metric counts, by name and value.
package struct MetricLabels: Sendable, Hashable {
    /// In the order of exposition.
    package let pairs: [Pair]

    /// One label.
    package struct Pair: Sendable, Hashable {
        /// The label.
        package let name: String
        /// Any text; it is escaped when it is written.
        package let value: String
    }

    /// Sorted by name, so that equal sets are equal.
    package init(_ labels: [String: String] = [:]) {
        self.pairs = labels.sorted { $0.key < $1.key }.map { Pair(name: $0.key, value: $0.value) }
    }

    /// The value of a label; `nil` when there is none.
    package subscript(_ name: String) -> String? { self.pairs.first { $0.name == name }?.value }

    /// The labels of the original's families: the called service, and the tags that chose its instances.
    package static func service(_ name: String, app: String, version: String) -> Self {
        Self(["service_name": name, "app": app, "version": version])
    }
}

/// A family of metrics at one moment, ready to be written in some format.
package struct MetricFamily: Sendable {
    /// What the numbers mean to a scraper.
    package enum Kind: String, Sendable {
        case counter
        case gauge
        case summary
    }

    /// One line.
    package struct Sample: Sendable {
        /// Appended to the family's name: `_sum`, `_count`, or nothing.
        package let suffix: String
        /// What the sample is about.
        package let labels: MetricLabels
        /// The number.
        package let value: Double
    }

    /// As it is exposed, unit and `_total` included.
    package let name: String
    /// One line for readers.
    package let help: String
    /// See ``Kind``.
    package let kind: Kind
    /// In any order.
    package var samples: [Sample]

    /// A family.
    package init(_ name: String, help: String, kind: Kind, samples: [Sample] = []) {
        self.name = name
        self.help = help
        self.kind = kind
        self.samples = samples
    }

    /// Adds a line.
    package mutating func add(_ value: Double, _ labels: MetricLabels = MetricLabels(), suffix: String = "") {
        self.samples.append(Sample(suffix: suffix, labels: labels, value: value))
    }
}

/// All metrics of the process: hands out counters to event loops, and adds them up when someone looks.
///
/// Handles are made when a connection or a snapshot arrives, never per request. A family appears with its first sample.
package final class MetricsRegistry: Sendable {
    private struct CounterKey: Hashable {
        let name: String
        let labels: MetricLabels
    }

    private struct State {
        var requests: [MetricLabels: [RequestCounters]] = [:]
        var counters: [CounterKey: [Counter]] = [:]
        var help: [String: String] = [:]
        var collectors: [@Sendable () -> [MetricFamily]] = []
    }

    private let state = Mutex(State())
    private let startTime: Double
    /// The labels of the sidecar's own service.
    package let ownLabels: MetricLabels

    /// An empty registry.
    ///
    /// - Parameter startTime: When the process started, in seconds since 1970.
    /// - Parameter own: The labels of the sidecar's own service.
    package init(startTime: Double, own: MetricLabels) {
        self.startTime = startTime
        self.ownLabels = own
    }

    /// Counters of the requests to one service, for one event loop alone.
    package func requestCounters(_ labels: MetricLabels) -> RequestCounters {
        let counters = RequestCounters()
        self.state.withLock { $0.requests[labels, default: []].append(counters) }
        return counters
    }

    /// A counter for one thread alone; equal names and labels are added up.
    ///
    /// - Parameter name: Without `_total`, which the exposition adds.
    package func counter(_ name: String, _ labels: MetricLabels = MetricLabels(), help: String) -> Counter {
        let counter = Counter()
        self.state.withLock { state in
            state.counters[CounterKey(name: name, labels: labels), default: []].append(counter)
            state.help[name] = help
        }
        return counter
    }

    /// Asks `collect` at every look; for numbers that others keep anyway.
    package func addCollector(_ collect: @escaping @Sendable () -> [MetricFamily]) {
        self.state.withLock { $0.collectors.append(collect) }
    }

    /// Everything as it stands, by name.
    package func families() -> [MetricFamily] {
        let (requests, counters, help, collectors) = self.state.withLock {
            ($0.requests, $0.counters, $0.help, $0.collectors)
        }
        var start = MetricFamily("start_time_seconds", help: "start_time_seconds", kind: .gauge)
        start.add(self.startTime, self.ownLabels)
        var families = Self.requestFamilies(requests) + [start]
        for (name, group) in Dictionary(grouping: counters, by: \.key.name) {
            var family = MetricFamily(name + "_total", help: help[name] ?? name, kind: .counter)
            for (key, shards) in group { family.add(Double(shards.reduce(0) { $0 + $1.current }), key.labels) }
            families.append(family)
        }
        families += collectors.flatMap { $0() }
        return families.filter { !$0.samples.isEmpty }.sorted { $0.name < $1.name }
    }

    private static func requestFamilies(_ requests: [MetricLabels: [RequestCounters]]) -> [MetricFamily] {
        // The names and the help texts are the original's: dashboards know them.
        let columns: [(name: String, value: (RequestCounters) -> Int)] = [
            ("requests_total", { $0.requests.current }), ("successes_total", { $0.successes.current }),
            ("failures_total", { $0.failures.current }), ("status_4xx", { $0.status4xx.current }),
            ("status_5xx", { $0.status5xx.current }),
        ]
        var families = columns.map { column in
            var family = MetricFamily(column.name, help: column.name, kind: .counter)
            for (labels, shards) in requests {
                let sum = shards.reduce(0) { $0 + column.value($1) }
                if sum > 0 { family.add(Double(sum), labels) }
            }
            return family
        }
        var latency = MetricFamily("request_latency_seconds", help: "request_latency_seconds", kind: .summary)
        for (labels, shards) in requests {
            let count = shards.reduce(0) { $0 + $1.timed.current }
            guard count > 0 else { continue }
            latency.add(Double(shards.reduce(0) { $0 + $1.latency.current }) / 1e9, labels, suffix: "_sum")
            latency.add(Double(count), labels, suffix: "_count")
        }
        families.append(latency)
        return families
    }
}
