// SPDX-License-Identifier: Apache-2.0

package import Common
import NIOCore
import Synchronization

/// Turns counts into rates: remembers what was counted a moment ago.
///
/// It outlives restarts of the component that makes it look.
package final class TrafficMonitor: Sendable {
    /// What was counted until a moment.
    private struct Reading: Sendable {
        var time: ContinuousClock.Instant
        var services: [String: RequestTotals] = [:]
        var callers: [String: RequestTotals] = [:]
        var hits: [String: [[Int]]] = [:]
    }

    /// Readings kept, one a second.
    static let window = 10
    private let readings = Mutex<[Reading]>([])
    private let metrics: MetricsRegistry
    private let inspect: @Sendable () -> [ServiceInspection]
    private let clock: @Sendable () -> ContinuousClock.Instant

    /// - Parameter inspect: Looks at what the request path knows of services.
    /// - Parameter clock: Tells the time.
    package init(
        metrics: MetricsRegistry, inspect: @escaping @Sendable () -> [ServiceInspection],
        clock: @escaping @Sendable () -> ContinuousClock.Instant = { .now }
    ) {
        self.metrics = metrics
        self.inspect = inspect
        self.clock = clock
        self.look()
    }

    /// Remembers what is counted now; once a second.
    func look() {
        self.metrics.forgetSilentCallers(at: self.clock())
        let reading = self.read(self.inspect())
        self.readings.withLock { readings in
            if readings.count >= Self.window { readings.removeFirst() }
            readings.append(reading)
        }
    }

    private func read(_ inspections: [ServiceInspection]) -> Reading {
        var reading = Reading(time: self.clock())
        for (labels, totals) in self.metrics.requestTotals {
            reading.services[labels["service_name"] ?? "", default: RequestTotals()].add(totals)
        }
        for (name, totals) in self.metrics.callerTotals { reading.callers[name] = totals }
        for service in inspections where !service.routes.isEmpty {
            reading.hits[service.name] = service.routes.map { $0.targets.map(\.hits) }
        }
        return reading
    }

    /// What has happened since the oldest reading.
    struct Recent {
        let seconds: Double
        let own: TrafficDocument.Flow
        let callers: [TrafficDocument.Caller]
        /// The busiest first.
        let services: [TrafficDocument.Service]
        /// Answers in place of calls that were refused, by service.
        let fallbacks: [String: Int]
    }

    /// What traffic is like now.
    func recent() -> Recent {
        let inspections = self.inspect()
        let now = self.read(inspections)
        let readings = self.readings.withLock { $0 }
        let before = readings.first ?? now
        let seconds = max(0.001, (now.time - before.time) / .seconds(1))
        let ownName = self.metrics.ownLabels["service_name"] ?? ""
        func flow(_ totals: RequestTotals, _ old: RequestTotals?) -> TrafficDocument.Flow {
            Self.flow(totals, old ?? RequestTotals(), seconds)
        }
        let callers = now.callers.filter { $0.value.requests > 0 }.map { name, totals in
            // One that was forgotten meanwhile has begun anew.
            let old = before.callers[name].flatMap { $0.requests <= totals.requests ? $0 : nil }
            return TrafficDocument.Caller(name: name, flow: flow(totals, old))
        }
        let known = Dictionary(inspections.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        let names = Set(known.keys).union(now.services.filter { $0.value.requests > 0 }.keys).subtracting([ownName])
        let services = names.map { name in
            let (totals, old) = (now.services[name] ?? RequestTotals(), before.services[name] ?? RequestTotals())
            let reasons = totals.reasons.map { ($0, $1 - (old.reasons[$0] ?? 0)) }.filter { $0.1 > 0 }
            return TrafficDocument.Service(
                name: name, flow: flow(totals, old),
                details: .init(
                    reasons: Dictionary(uniqueKeysWithValues: reasons), breaker: known[name]?.breaker,
                    instances: known[name]?.instances ?? [],
                    routes: Self.routes(known[name]?.routes ?? [], readings.map { $0.hits[name] }, seconds)))
        }
        // Their own service is incoming traffic, unless it calls itself.
        return Recent(
            seconds: seconds, own: flow(now.services[ownName] ?? RequestTotals(), before.services[ownName]),
            callers: callers.sorted { ($1.flow.requestRate, $0.name) < ($0.flow.requestRate, $1.name) },
            services: services.sorted {
                ($1.flow.requestRate, $1.flow.requests, $0.name) < ($0.flow.requestRate, $0.flow.requests, $1.name)
            },
            fallbacks: now.services.mapValues(\.fallbacks).merging(before.services.mapValues(\.fallbacks)) { $0 - $1 })
    }

    private static func flow(
        _ totals: RequestTotals, _ old: RequestTotals, _ seconds: Double
    ) -> TrafficDocument.Flow {
        let count = totals.requests - old.requests
        let buckets = zip(totals.buckets, old.buckets).map { max(0, $0 - $1) }
        return TrafficDocument.Flow(
            requestRate: Double(count) / seconds,
            errorRate: Double(totals.failures - old.failures) / seconds,
            p50: LatencyHistogram.quantile(0.5, of: buckets), p90: LatencyHistogram.quantile(0.9, of: buckets),
            mean: count > 0 ? Double(totals.duration - old.duration) / Double(count) / 1e9 : nil,
            p99: LatencyHistogram.quantile(0.99, of: buckets), requests: totals.requests, failures: totals.failures)
    }

    private static func routes(
        _ routes: [ServiceInspection.Route], _ readings: [[[Int]]?], _ seconds: Double
    ) -> [TrafficDocument.Route] {
        // Other rules than these have counted something else; these have begun at nothing.
        let shape = routes.map(\.targets.count)
        let old = readings.lazy.compactMap { $0 }.first { $0.map(\.count) == shape }
        return routes.enumerated().map { index, route in
            let counts = route.targets.enumerated().map { place, target in
                max(0, target.hits - (old?[index][place] ?? 0))
            }
            let sum = counts.reduce(0, +)
            return TrafficDocument.Route(
                precedence: route.precedence, match: route.match,
                targets: zip(route.targets, counts).map { target, count in
                    TrafficDocument.Target(
                        tags: target.tags, weight: target.weight, requestRate: Double(count) / seconds,
                        share: sum > 0 ? Double(count) / Double(sum) : nil)
                })
        }
    }
}

extension RequestTotals {
    /// Adds what was counted under other labels of the same service.
    fileprivate mutating func add(_ other: RequestTotals) {
        self.requests += other.requests
        self.successes += other.successes
        self.failures += other.failures
        self.status4xx += other.status4xx
        self.status5xx += other.status5xx
        self.latency += other.latency
        self.timed += other.timed
        self.duration += other.duration
        self.fallbacks += other.fallbacks
        for index in self.buckets.indices { self.buckets[index] += other.buckets[index] }
        self.reasons.merge(other.reasons) { $0 + $1 }
    }
}

/// Makes the monitor look, once a second.
package actor TrafficMonitorComponent: Component {
    private let monitor: TrafficMonitor

    /// A component for `monitor`.
    package init(_ monitor: TrafficMonitor) { self.monitor = monitor }

    package func run() async throws {
        while true {
            try await Task.sleep(for: .seconds(1))
            self.monitor.look()
        }
    }
}
