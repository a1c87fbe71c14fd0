// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// All metrics of the process: hands out counters to event loops, and adds them up when someone looks.
///
/// Handles are made when a connection or a snapshot arrives, never per request. A family appears with its first sample.
/// Nobody can make it grow without end: beyond ``mostLabels`` everything new counts as `other`.
package final class MetricsRegistry: Sendable {
    private struct CounterKey: Hashable {
        let name: String
        let labels: MetricLabels
    }

    private struct State {
        var requests: [MetricLabels: [RequestCounters]] = [:]
        var callers = CallerTable()
        var counters: [CounterKey: [Counter]] = [:]
        var help: [String: String] = [:]
        var collectors: [@Sendable () -> [MetricFamily]] = []
    }

    /// Called services, each with its versions and applications, that have counters of their own.
    package static let mostLabels = 10_000
    /// Longer names are none that a registry would take.
    package static let longestCaller = 128
    /// Who counts for all callers beyond.
    package static let otherCaller = "other"
    /// Who counts for those that say no name.
    package static let unknownCaller = "unknown"

    private let state = Mutex(State())
    private let forgotten = Atomic<Int>(0)
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
        self.state.withLock { state in
            let isFull = state.requests.count >= Self.mostLabels && state.requests[labels] == nil
            let labels = isFull ? MetricLabels.service("other", app: "", version: "") : labels
            state.requests[labels, default: []].append(counters)
        }
        return counters
    }

    /// Counters of the incoming requests of one caller, for one event loop alone.
    ///
    /// - Parameter name: What the caller says of itself.
    /// - Returns: `nil` when the name is too long, or one too many: ``otherCaller`` counts.
    package func callerCounters(_ name: String) -> RequestCounters? {
        guard name.utf8.count <= Self.longestCaller else { return nil }
        return self.state.withLock { $0.callers.counters(name) }
    }

    /// Has callers that have been silent for ten minutes make room for others, if there is no place left.
    package func forgetSilentCallers(at now: ContinuousClock.Instant) {
        if self.state.withLock({ $0.callers.age(at: now) }) { self.forgotten.wrappingAdd(1, ordering: .releasing) }
    }

    /// Another number whenever counters of callers have been retired, and places are free.
    package var callerGeneration: Int { self.forgotten.load(ordering: .acquiring) }

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

    /// What was counted of each called service, the own one among them, in the order of their labels.
    package var requestTotals: [(labels: MetricLabels, totals: RequestTotals)] {
        self.state.withLock { $0.requests }.map { ($0.key, RequestTotals($0.value)) }
            .sorted { $0.labels.text < $1.labels.text }
    }

    /// What was counted of each caller, by name.
    package var callerTotals: [(name: String, totals: RequestTotals)] {
        self.state.withLock { $0.callers.shards }.map { ($0.key, RequestTotals($0.value)) }.sorted { $0.name < $1.name }
    }

    /// Everything as it stands, by name.
    package func families() -> [MetricFamily] {
        let (counters, help, collectors) = self.state.withLock { ($0.counters, $0.help, $0.collectors) }
        var start = MetricFamily("start_time_seconds", help: "start_time_seconds", kind: .gauge)
        start.add(self.startTime, self.ownLabels)
        var families = Self.families(of: self.requestTotals) + Self.families(ofCallers: self.callerTotals) + [start]
        for (name, group) in Dictionary(grouping: counters, by: \.key.name) {
            var family = MetricFamily(name + "_total", help: help[name] ?? name, kind: .counter)
            for (key, shards) in group { family.add(Double(shards.reduce(0) { $0 + $1.current }), key.labels) }
            family.sort()
            families.append(family)
        }
        for collect in collectors {
            for var family in collect() {
                family.sort()
                families.append(family)
            }
        }
        // A name that a library uses as well would make the whole text unreadable.
        var names: Set<String> = []
        return families.filter { !$0.samples.isEmpty && names.insert($0.name).inserted }.sorted { $0.name < $1.name }
    }

    private static func families(of totals: [(labels: MetricLabels, totals: RequestTotals)]) -> [MetricFamily] {
        // The names and the help texts are the original's: dashboards know them.
        let columns: [(name: String, value: KeyPath<RequestTotals, Int>)] = [
            ("requests_total", \.requests), ("successes_total", \.successes), ("failures_total", \.failures),
            ("status_4xx", \.status4xx), ("status_5xx", \.status5xx),
        ]
        let families = columns.map { column in
            var family = MetricFamily(column.name, help: column.name, kind: .counter)
            for (labels, totals) in totals where totals[keyPath: column.value] > 0 {
                family.add(Double(totals[keyPath: column.value]), labels)
            }
            return family
        }
        var latency = MetricFamily("request_latency_seconds", help: "request_latency_seconds", kind: .summary)
        var histogram = MetricFamily(
            "mesher_request_duration_seconds",
            help: "From the complete head of a request to the end of its answer, by called service.", kind: .histogram)
        var reasons = MetricFamily(
            "mesher_request_errors_total",
            help: "Requests that mesher answered or ended itself, by called service and reason.", kind: .counter)
        for (labels, totals) in totals where totals.requests > 0 {
            if totals.timed > 0 {
                latency.add(Double(totals.latency) / 1e9, labels, suffix: "_sum")
                latency.add(Double(totals.timed), labels, suffix: "_count")
            }
            histogram.add(totals.buckets, seconds: Double(totals.duration) / 1e9, labels)
            for (reason, count) in totals.reasons.sorted(by: { $0.key < $1.key }) {
                reasons.add(Double(count), labels, extra: "reason=\"\(reason)\"")
            }
        }
        return families + [latency, histogram, reasons]
    }

    private static func families(ofCallers totals: [(name: String, totals: RequestTotals)]) -> [MetricFamily] {
        var requests = MetricFamily(
            "mesher_caller_requests_total", help: "Incoming requests, by the service that calls.", kind: .counter)
        var failures = MetricFamily(
            "mesher_caller_failures_total", help: "Incoming requests that were answered 400 or above, by caller.",
            kind: .counter)
        for (name, totals) in totals where totals.requests > 0 {
            let labels = MetricLabels(["caller": name])
            requests.add(Double(totals.requests), labels)
            failures.add(Double(totals.failures), labels)
        }
        return [requests, failures]
    }
}

/// What was counted of one service or caller by all event loops.
package struct RequestTotals: Sendable {
    /// See ``RequestCounters/requests``.
    package var requests = 0
    /// See ``RequestCounters/successes``.
    package var successes = 0
    /// See ``RequestCounters/failures``.
    package var failures = 0
    /// See ``RequestCounters/status4xx``.
    package var status4xx = 0
    /// See ``RequestCounters/status5xx``.
    package var status5xx = 0
    /// See ``RequestCounters/latency``.
    package var latency = 0
    /// See ``RequestCounters/timed``.
    package var timed = 0
    /// Nanoseconds that all requests took.
    package var duration = 0
    /// See ``RequestCounters/fallbacks``.
    package var fallbacks = 0
    /// Requests in each bucket of ``LatencyHistogram``.
    package var buckets = [Int](repeating: 0, count: LatencyHistogram.count)
    /// How often mesher answered or ended a request itself, by reason.
    package var reasons: [String: Int] = [:]

    /// Nothing.
    package init() {}

    /// The sum.
    package init(_ shards: [RequestCounters]) {
        for shard in shards {
            self.requests += shard.requests.current
            self.successes += shard.successes.current
            self.failures += shard.failures.current
            self.status4xx += shard.status4xx.current
            self.status5xx += shard.status5xx.current
            self.latency += shard.latency.current
            self.timed += shard.timed.current
            self.duration += shard.histogram.total
            self.fallbacks += shard.fallbacks.current
            shard.histogram.add(to: &self.buckets)
            for reason in ProxyError.Reason.allCases {
                let count = shard.count(of: reason)
                if count > 0 { self.reasons[reason.rawValue, default: 0] += count }
            }
        }
    }
}
