// SPDX-License-Identifier: Apache-2.0

package import Common
package import CoreMetrics
import Synchronization

/// Takes what libraries count through swift-metrics into our own exposition.
///
/// Bounded: beyond ``capacity`` series nothing new is kept.
package final class LibraryMetrics: Sendable {
    /// Series that are kept.
    package static let capacity = 1_000

    private struct Key: Hashable {
        let name: String
        let labels: MetricLabels
    }

    fileprivate struct Series {
        var kind: MetricFamily.Kind
        var value = 0.0
        var count = 0
    }

    private let series = Mutex<[Key: Series]>([:])

    /// Nothing counted yet.
    package init() {}

    /// What was counted, by name.
    package func families() -> [MetricFamily] {
        let series = self.series.withLock { $0 }
        return Dictionary(grouping: series, by: \.key.name).map { name, group in
            var family = MetricFamily(name, help: "Counted by a library.", kind: group[0].value.kind)
            for (key, series) in group {
                if series.kind == .summary {
                    family.add(series.value, key.labels, suffix: "_sum")
                    family.add(Double(series.count), key.labels, suffix: "_count")
                } else {
                    family.add(series.value, key.labels)
                }
            }
            family.sort()
            return family
        }
    }

    fileprivate func change(
        _ kind: MetricFamily.Kind, _ name: String, _ labels: MetricLabels, _ body: (inout Series) -> Void
    ) {
        self.series.withLock { series in
            let key = Key(name: name, labels: labels)
            guard series[key] != nil || series.count < Self.capacity else { return }
            body(&series[key, default: Series(kind: kind)])
        }
    }

    /// A name and labels that the format allows.
    fileprivate static func name(_ label: String, suffix: String) -> String {
        var name = String(label.map { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") ? $0 : "_" })
        if name.first?.isNumber ?? true { name = "_" + name }
        return name.hasSuffix(suffix) ? name : name + suffix
    }
}

extension LibraryMetrics: MetricsFactory {
    /// A counter of a library.
    package func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        LibrarySeries(self, .counter, Self.name(label, suffix: "_total"), dimensions)
    }

    /// A gauge or a distribution of a library.
    package func makeRecorder(label: String, dimensions: [(String, String)], aggregate: Bool) -> any RecorderHandler {
        LibrarySeries(self, aggregate ? .summary : .gauge, Self.name(label, suffix: ""), dimensions)
    }

    /// A timer of a library.
    package func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        LibrarySeries(self, .summary, Self.name(label, suffix: "_seconds"), dimensions)
    }

    /// Nothing: what was counted stays.
    package func destroyCounter(_ handler: any CounterHandler) {}

    /// Nothing: what was counted stays.
    package func destroyRecorder(_ handler: any RecorderHandler) {}

    /// Nothing: what was counted stays.
    package func destroyTimer(_ handler: any TimerHandler) {}
}

/// One series that a library writes.
private final class LibrarySeries: CounterHandler, RecorderHandler, TimerHandler {
    private let metrics: LibraryMetrics
    private let kind: MetricFamily.Kind
    private let name: String
    private let labels: MetricLabels

    init(_ metrics: LibraryMetrics, _ kind: MetricFamily.Kind, _ name: String, _ dimensions: [(String, String)]) {
        self.metrics = metrics
        self.kind = kind
        self.name = name
        self.labels = MetricLabels(
            Dictionary(
                dimensions.map { (LibraryMetrics.name($0.0, suffix: ""), $0.1) }, uniquingKeysWith: { $1 }))
    }

    func increment(by amount: Int64) {
        self.metrics.change(self.kind, self.name, self.labels) { $0.value += Double(amount) }
    }

    func reset() { self.metrics.change(self.kind, self.name, self.labels) { $0.value = 0 } }

    func record(_ value: Int64) { self.record(Double(value)) }

    func record(_ value: Double) {
        let isSummary = self.kind == .summary
        self.metrics.change(self.kind, self.name, self.labels) { series in
            series.value = isSummary ? series.value + value : value
            series.count += 1
        }
    }

    func recordNanoseconds(_ duration: Int64) { self.record(Double(duration) / 1e9) }
}
