// SPDX-License-Identifier: Apache-2.0

/// Writes metrics as text.
///
/// - Source: Prometheus exposition formats, text 0.0.4; OpenMetrics 1.0.
package enum PrometheusText {
    /// The two formats.
    package enum Format: Sendable {
        case prometheus
        case openMetrics

        /// The content type of the text.
        package var contentType: String {
            switch self {
            case .prometheus: "text/plain; version=0.0.4; charset=utf-8"
            case .openMetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8"
            }
        }

        /// The format that a client asks for: OpenMetrics where `accept` names it.
        package init(accept: String?) {
            let choice = (accept ?? "").split(separator: ",").first { $0.contains("application/openmetrics-text") }
            let parameters = choice?.split(separator: ";").map { $0.filter { $0 != " " } } ?? []
            let isRefused = parameters.contains { $0.hasPrefix("q=") && Double($0.dropFirst(2)) == 0 }
            self = choice != nil && !isRefused ? .openMetrics : .prometheus
        }
    }

    /// All families, one after the other.
    ///
    /// Cost: about 100 ns a line.
    package static func render(_ families: [MetricFamily], _ format: Format = .prometheus) -> [UInt8] {
        var text: [UInt8] = []
        text.reserveCapacity(families.reduce(64) { $0 + 160 + $1.samples.count * 128 })
        for family in families {
            let (name, kind, suffix) = Self.form(of: family, format)
            text.append(contentsOf: "# HELP \(name) \(Self.escapedHelp(family.help, format))\n".utf8)
            text.append(contentsOf: "# TYPE \(name) \(kind)\n".utf8)
            for sample in family.samples {
                text.append(contentsOf: name.utf8)
                text.append(contentsOf: suffix.utf8)
                text.append(contentsOf: sample.suffix.utf8)
                Self.append(sample.labels.text, sample.extra, to: &text)
                text.append(.space)
                Self.append(sample.value, to: &text)
                text.append(.lineFeed)
            }
        }
        if format == .openMetrics { text.append(contentsOf: "# EOF\n".utf8) }
        return text
    }

    /// OpenMetrics has counters end in `_total`, and their families not; the original's that do not are of unknown type there.
    private static func form(of family: MetricFamily, _ format: Format) -> (name: String, kind: String, suffix: String)
    {
        guard format == .openMetrics, family.kind == .counter else { return (family.name, family.kind.rawValue, "") }
        guard family.name.hasSuffix("_total") else { return (family.name, "unknown", "") }
        return (String(family.name.dropLast("_total".count)), "counter", "_total")
    }

    private static func append(_ labels: String, _ extra: String, to text: inout [UInt8]) {
        if labels.isEmpty, extra.isEmpty { return }
        text.append(.leftBrace)
        text.append(contentsOf: labels.utf8)
        if !labels.isEmpty, !extra.isEmpty { text.append(.comma) }
        text.append(contentsOf: extra.utf8)
        text.append(.rightBrace)
    }

    private static func append(_ value: Double, to text: inout [UInt8]) {
        guard let exact = Int(exactly: value), exact >= 0 else {
            text.append(contentsOf: Self.number(value).utf8)
            return
        }
        let start = text.count
        var rest = exact
        repeat {
            text.append(0x30 &+ UInt8(truncatingIfNeeded: rest % 10))
            rest /= 10
        } while rest > 0
        text[start...].reverse()
    }

    /// A label's value between its quotes.
    package static func escaped(_ text: String) -> String { Self.escaped(text, quotes: true) }

    private static func escapedHelp(_ text: String, _ format: Format) -> String {
        Self.escaped(text, quotes: format == .openMetrics)
    }

    private static func escaped(_ text: String, quotes: Bool) -> String {
        guard text.utf8.contains(where: { $0 == .backslash || $0 == .lineFeed || $0 == .quote }) else { return text }
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

    /// A number as both formats write it.
    package static func number(_ value: Double) -> String {
        if let exact = Int(exactly: value) { return "\(exact)" }
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        return "\(value)"
    }
}
