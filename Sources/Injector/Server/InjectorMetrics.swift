// SPDX-License-Identifier: Apache-2.0

package import Common
import Synchronization

/// What the injector counts.
package final class InjectorMetrics: Sendable {
    private struct Outcome: Hashable {
        let result: String
        let reason: String
    }

    /// The result of a request that was no review.
    static let error = "error"

    private let counters: Mutex<[Outcome: Counter]> = Mutex([:])
    private let reloadFailures: Counter
    private let bundleUpdates: Counter
    private let durations = Mutex(LatencyHistogram())
    private let registry: MetricsRegistry

    /// Counts in `registry`.
    package init(_ registry: MetricsRegistry) {
        self.registry = registry
        self.reloadFailures = registry.counter(
            "mesher_injector_template_reload_failures", help: "Changed templates that were of no use.")
        self.bundleUpdates = registry.counter(
            "mesher_injector_cabundle_updates", help: "How often caBundle was not what it has to be, and was written.")
        registry.addCollector {
            var family = MetricFamily(
                "mesher_injector_duration_seconds", help: "From the head of a request to its answer.",
                kind: .histogram)
            self.durations.withLock { durations in
                var buckets = [Int](repeating: 0, count: LatencyHistogram.count)
                durations.add(to: &buckets)
                family.add(buckets, seconds: Double(durations.total) / 1e9, MetricLabels())
            }
            return [family]
        }
    }

    /// Counts a request.
    ///
    /// - Parameter reason: One of a fixed list of words.
    func record(_ result: String, _ reason: String, since start: ContinuousClock.Instant) {
        let outcome = Outcome(result: result, reason: reason)
        let counter = self.counters.withLock { counters in
            if let counter = counters[outcome] { return counter }
            let counter = self.registry.counter(
                "mesher_injector_requests", MetricLabels(["result": result, "reason": reason]),
                help: "Requests for a review, by what became of the pod and why.")
            counters[outcome] = counter
            return counter
        }
        counter.addShared()
        let (seconds, attoseconds) = (ContinuousClock.now - start).components
        let nanoseconds = Int(seconds) * 1_000_000_000 + Int(attoseconds / 1_000_000_000)
        // A histogram has one writer at a time.
        self.durations.withLock { $0.record(nanoseconds) }
    }

    /// Counts a template that could not be taken.
    func reloadFailed() { self.reloadFailures.addShared() }

    /// Counts that `caBundle` was written.
    func bundleUpdated() { self.bundleUpdates.addShared() }

    /// Shows until when a certificate holds.
    ///
    /// - Parameter expiry: Gives seconds since 1970; `nil` without a certificate.
    package func showExpiry(_ expiry: @escaping @Sendable () -> Int?) {
        self.registry.addCollector {
            guard let expiry = expiry() else { return [] }
            return [
                MetricFamily(
                    "mesher_injector_certificate_expiry_seconds",
                    help: "When the certificate in use ends, in seconds since 1970.", Double(expiry))
            ]
        }
    }

    /// All that is counted.
    func text(_ format: PrometheusText.Format) -> [UInt8] { PrometheusText.render(self.registry.families(), format) }
}
