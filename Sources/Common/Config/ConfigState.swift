// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// The configuration that holds, and how the reloads went: outlives every restart of ``ConfigComponent``.
package final class ConfigState: Sendable {
    private struct Values {
        var current: ConfigLoader.Result
        var generation = 0
        var succeeded = 0
        var failed = 0
        var isLastSuccessful = true
        var lastSuccess: Double
        var remote = ConfigSource(.remote)
    }

    /// What the process started with.
    package let started: ConfigLoader.Result
    private let values: Mutex<Values>

    /// The state of a process that has just started with `result`.
    ///
    /// - Parameter now: Seconds since 1970.
    package init(_ result: ConfigLoader.Result, now: Double) {
        self.started = result
        self.values = Mutex(Values(current: result, lastSuccess: now))
    }

    /// Another number whenever something of it is other than before.
    package var generation: Int { self.values.withLock { $0.generation } }

    /// What holds.
    package var current: ConfigLoader.Result { self.values.withLock { $0.current } }

    /// Whether the configuration on disk, when it was last read, is the one that holds.
    package var isLastSuccessful: Bool { self.values.withLock { $0.isLastSuccessful } }

    /// A reload has been accepted.
    package func succeed(with result: ConfigLoader.Result, now: Double) {
        self.values.withLock {
            $0.current = result
            $0.generation += 1
            $0.succeeded += 1
            $0.isLastSuccessful = true
            $0.lastSuccess = now
        }
    }

    /// All that the configuration server says, mistakes included.
    package var remote: ConfigSource {
        get { self.values.withLock { $0.remote } }
        set { self.values.withLock { $0.remote = newValue } }
    }

    /// Settings of the configuration server hold, over the files that were read before.
    package func adopt(_ result: ConfigLoader.Result) {
        self.values.withLock {
            $0.current = result
            $0.generation += 1
        }
    }

    /// A reload has been refused.
    package func fail() {
        self.values.withLock {
            $0.generation += 1
            $0.failed += 1
            $0.isLastSuccessful = false
        }
    }

    /// Shows how the reloads went.
    package func register(with metrics: MetricsRegistry) {
        metrics.addCollector {
            let values = self.values.withLock { $0 }
            var reloads = MetricFamily(
                "mesher_config_reloads_total", help: "Times the configuration was read again, by result.",
                kind: .counter)
            reloads.add(Double(values.succeeded), MetricLabels(["result": "success"]))
            reloads.add(Double(values.failed), MetricLabels(["result": "failure"]))
            var isGood = MetricFamily(
                "mesher_config_last_reload_successful",
                help: "1 when the configuration on disk holds; 0 when it was refused and an older one holds.",
                kind: .gauge)
            isGood.add(values.isLastSuccessful ? 1 : 0, MetricLabels())
            var time = MetricFamily(
                "mesher_config_last_reload_success_timestamp_seconds",
                help: "When the configuration that holds was read, in seconds since 1970.", kind: .gauge)
            time.add(values.lastSuccess, MetricLabels())
            return [reloads, isGood, time]
        }
    }
}
