// SPDX-License-Identifier: Apache-2.0

/// Writes metrics in the Prometheus text format.
///
/// - Source: Prometheus exposition formats, text 0.0.4.
package enum PrometheusText {
    /// The content type of the text.
    package static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    /// All families, one after the other.
    package static func render(_ families: [MetricFamily]) -> String {
        var text = ""
        for family in families {
            text += "# HELP \(family.name) \(Self.escaped(family.help, quotes: false))\n"
            text += "# TYPE \(family.name) \(family.kind.rawValue)\n"
            for sample in family.samples.sorted(by: Self.isBefore) {
                text += "\(family.name)\(sample.suffix)\(Self.labels(sample.labels)) \(Self.number(sample.value))\n"
            }
        }
        return text
    }

    private static func isBefore(_ left: MetricFamily.Sample, _ right: MetricFamily.Sample) -> Bool {
        let (first, second) = (Self.labels(left.labels), Self.labels(right.labels))
        // `_sum` before `_count`, as the format's own examples have it.
        return first == second ? left.suffix > right.suffix : first < second
    }

    private static func labels(_ labels: MetricLabels) -> String {
        guard !labels.pairs.isEmpty else { return "" }
        let pairs = labels.pairs.map { "\($0.name)=\"\(Self.escaped($0.value, quotes: true))\"" }
        return "{\(pairs.joined(separator: ","))}"
    }

    private static func escaped(_ text: String, quotes: Bool) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\"" where quotes: result += "\\\""
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    private static func number(_ value: Double) -> String {
        if let exact = Int(exactly: value) { return "\(exact)" }
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        return "\(value)"
    }
}
