// SPDX-License-Identifier: Apache-2.0

/// A family of metrics at one moment, ready to be written in some format.
package struct MetricFamily: Sendable {
    /// What the numbers mean to a scraper.
    package enum Kind: String, Sendable {
        case counter
        case gauge
        case histogram
        case summary
    }

    /// One line.
    package struct Sample: Sendable {
        /// Appended to the family's name: `_sum`, `_count`, `_bucket`, or nothing.
        package let suffix: String
        /// What the sample is about.
        package let labels: MetricLabels
        /// A further label of buckets and quantiles, as it is written: `le="0.5"`.
        package let extra: String
        /// The number.
        package let value: Double
    }

    /// As it is exposed, unit and `_total` included.
    package let name: String
    /// One line for readers.
    package let help: String
    /// See ``Kind``.
    package let kind: Kind
    /// In the order in which they are written.
    package var samples: [Sample]

    /// A family.
    package init(_ name: String, help: String, kind: Kind, samples: [Sample] = []) {
        self.name = name
        self.help = help
        self.kind = kind
        self.samples = samples
    }

    /// A family of one number.
    package init(_ name: String, help: String, kind: Kind = .gauge, _ value: Double) {
        self.init(name, help: help, kind: kind)
        self.add(value)
    }

    /// Adds a line.
    package mutating func add(
        _ value: Double, _ labels: MetricLabels = MetricLabels(), suffix: String = "", extra: String = ""
    ) {
        self.samples.append(Sample(suffix: suffix, labels: labels, extra: extra, value: value))
    }

    /// Adds the lines of a histogram.
    ///
    /// - Parameter counts: Requests in each bucket of ``LatencyHistogram``.
    /// - Parameter seconds: All of them together.
    package mutating func add(_ counts: [Int], seconds: Double, _ labels: MetricLabels) {
        var below = 0
        for (index, count) in counts.enumerated() {
            below += count
            self.add(Double(below), labels, suffix: "_bucket", extra: Self.bounds[index])
        }
        self.add(seconds, labels, suffix: "_sum")
        self.add(Double(below), labels, suffix: "_count")
    }

    private static let bounds =
        LatencyHistogram.bounds.map { "le=\"\(PrometheusText.number(Double($0) / 1e9))\"" } + ["le=\"+Inf\""]

    /// Brings the lines into the order of their labels.
    package mutating func sort() {
        // As the format's own examples have it.
        let order = ["", "_bucket", "_sum", "_count"]
        func rank(_ sample: Sample) -> Int { order.firstIndex(of: sample.suffix) ?? 0 }
        self.samples.sort { left, right in
            if left.labels.text != right.labels.text { return left.labels.text < right.labels.text }
            return (rank(left), left.extra) < (rank(right), right.extra)
        }
    }
}
