// SPDX-License-Identifier: Apache-2.0

/// Which requests are traced, and who gets the spans.
///
/// - Source: tracing.yaml of the original, in its two generations; the OpenTelemetry protocol for OTLP.
package struct TracingConfig: Sendable, Equatable {
    /// How spans are written.
    package enum Format: Sendable, Equatable {
        /// Zipkin's first JSON format: `/api/v1/spans`.
        case zipkinV1
        /// Its second: `/api/v2/spans`.
        case zipkinV2
        /// OpenTelemetry, JSON over HTTP: `/v1/traces`.
        case otlp
    }

    /// Where they go.
    package enum Destination: Sendable, Equatable {
        /// Posted to a URL.
        case http(String)
        /// Appended to a file or named pipe, a span a line.
        case file(String)
    }

    /// How headers tell the next hop.
    package enum Propagation: String, Sendable, CaseIterable {
        case b3
        case b3Single
        case w3c
    }

    /// How spans are written.
    package var format = Format.zipkinV1
    /// Where they go.
    package var destination = Destination.http("http://127.0.0.1:9411/api/v1/spans")
    /// So many are posted without waiting for more.
    package var batchSize = 10_000
    /// The longest wait of a span.
    package var batchInterval = Duration.seconds(10)
    /// The share of new traces that are recorded, 0…1.
    package var sampleRate = 1.0
    /// How a new trace is told on; one that is continued is told on as it came.
    package var formats: [Propagation] = [.b3, .w3c]

    /// Whether both sides of a call have one span, as Zipkin has it; each has its own in OpenTelemetry.
    package var sharesSpans: Bool { self.format != .otlp }

    /// The defaults.
    package init() {}

    /// Reads the keys.
    ///
    /// - Returns: `nil` when nothing is configured: handlers that stand in a chain do nothing then.
    package init?(_ reader: inout ConfigReader) {
        let isOld = reader.readIfPresent(Keys.enabled)
        let kind = reader.readIfPresent(Keys.collector) ?? reader.readIfPresent(Keys.oldCollector)
        let target = reader.readIfPresent(Keys.uri) ?? reader.readIfPresent(Keys.oldTarget)
        let tracer = reader.readIfPresent(Keys.tracer)
        let size = reader.readIfPresent(Keys.batchSize) ?? reader.readIfPresent(Keys.oldBatchSize)
        let interval = reader.readIfPresent(Keys.batchInterval) ?? reader.readIfPresent(Keys.oldBatchInterval)
        let rate = reader.readIfPresent(Keys.sampleRate)
        let propagation = reader.readIfPresent(Keys.propagation)
        let isConfigured =
            isOld == true || kind != nil || target != nil || tracer != nil || size != nil || interval != nil
            || rate != nil || propagation != nil
        guard isConfigured, isOld != false else { return nil }
        if let size { self.batchSize = size }
        if let interval { self.batchInterval = interval }
        if let rate { self.sampleRate = rate }
        if let propagation { self.formats = propagation }
        switch kind ?? "http" {
        case "namedPipe", "file":
            guard let target, !target.isEmpty else {
                let key = [Keys.collector.name, Keys.oldCollector.name].first { reader.store.entry($0) != nil }
                if let entry = key.flatMap({ reader.store.entry($0) }) {
                    reader.note(
                        entry,
                        ConfigMistake(
                            "spans go to a file, and nothing says which",
                            remedy: "write its path as \(Keys.uri.name)"))
                }
                return nil
            }
            self.destination = .file(target)
            self.format = tracer == "otlp" ? .otlp : .zipkinV2
        default: self.setURL(target, isOTLP: tracer == "otlp", &reader)
        }
    }

    private mutating func setURL(_ target: String?, isOTLP: Bool, _ reader: inout ConfigReader) {
        guard let target else {
            if isOTLP {
                self.format = .otlp
                self.destination = .http("http://127.0.0.1:4318/v1/traces")
            }
            return
        }
        guard let scheme = target.range(ofFirst: "://"), ["http", "https"].contains(target[..<scheme.lowerBound]),
            scheme.upperBound < target.endIndex, !target.contains(" "), Self.hasPort(target[scheme.upperBound...])
        else {
            let key = reader.store.entry(Keys.uri.name) ?? reader.store.entry(Keys.oldTarget.name)
            if let key {
                reader.note(
                    key,
                    ConfigMistake(
                        "\"\(target)\" is no URL that spans can be posted to",
                        remedy: "write one such as http://127.0.0.1:9411/api/v2/spans"))
            }
            return
        }
        let rest = target[scheme.upperBound...]
        let path = rest.firstIndex(of: "/").map { rest[$0...] } ?? ""
        if isOTLP || path.hasSuffix("/v1/traces") {
            self.format = .otlp
            self.destination = .http(path.count > 1 ? target : Self.join(target, "v1/traces"))
        } else {
            self.format = path.hasSuffix("/api/v2/spans") ? .zipkinV2 : .zipkinV1
            self.destination = .http(path.count > 1 ? target : Self.join(target, "api/v1/spans"))
        }
    }

    /// Whether the port, if one is written, is one: the client of HTTP traps on others.
    private static func hasPort(_ rest: Substring) -> Bool {
        let host = rest.prefix { !"/?#".contains($0) }
        guard let colon = host.lastIndex(of: ":"), !host[colon...].contains("]") else { return true }
        return UInt16(host[host.index(after: colon)...]).map { $0 > 0 } ?? false
    }

    private static func join(_ base: String, _ path: String) -> String {
        base.hasSuffix("/") ? base + path : "\(base)/\(path)"
    }

    /// The keys of ``TracingConfig``.
    package enum Keys {
        private static let interval = Duration.milliseconds(10)...Duration.seconds(86_400)

        static let tracer = ConfigKey(
            "tracing.tracer", .choice("zipkin", "otlp"), default: "zipkin",
            "What takes the spans of the handlers `tracing-consumer` and `tracing-provider`: Zipkin, or anything that speaks OTLP over HTTP."
        )
        static let uri = ConfigKey(
            "tracing.settings.URI", .text, default: "http://127.0.0.1:9411/api/v1/spans",
            "Where spans are posted. The path says the format: `/api/v1/spans`, `/api/v2/spans` (Zipkin) or `/v1/traces` (OTLP). A path of the file system for the collectors `file` and `namedPipe`."
        )
        static let collector = ConfigKey(
            "tracing.settings.collector", .choice("http", "namedPipe", "file"), default: "http",
            "Whether spans are posted, or written to a file or named pipe, one a line.")
        static let batchSize = ConfigKey(
            "tracing.settings.batchSize", .integer(1...1_000_000), default: 10_000,
            "So many spans are posted without waiting for more.")
        static let batchInterval = ConfigKey(
            "tracing.settings.batchInterval", .duration(Self.interval), default: .seconds(10),
            "How long a span waits for others at most.")
        static let sampleRate = ConfigKey(
            "tracing.settings.sampleRate", .fraction, default: 1,
            "Share of new traces that are recorded, 0 to 1. What a caller has decided stands.")
        static let propagation = ConfigKey(
            "tracing.settings.propagation", .several(.oneOf(Propagation.self, "format")), default: [.b3, .w3c],
            "Headers that tell a new trace on: `b3` (several), `b3Single`, `w3c`. One that came is told on as it came.")
        static let enabled = ConfigKey("tracing.enabled", .bool, default: true, "Old: `false` switches tracing off.")
        static let oldCollector = ConfigKey(
            "tracing.collectorType", .choice("zipkin", "namedPipe", "file"), default: "zipkin",
            "Old spelling of `tracing.settings.collector`.")
        static let oldTarget = ConfigKey(
            "tracing.collectorTarget", .text, default: "", "Old spelling of `tracing.settings.URI`.")
        static let oldBatchSize = ConfigKey(
            "tracing.batchSize", .integer(1...1_000_000), default: 10_000, "Old place of it.")
        static let oldBatchInterval = ConfigKey(
            "tracing.batchInterval", .duration(Self.interval), default: .seconds(10), "Old place of it.")

        /// All of them, in the order of the reference.
        package static let all: [any AnyConfigKey] = [
            Self.tracer, Self.uri, Self.collector, Self.batchSize, Self.batchInterval, Self.sampleRate,
            Self.propagation, Self.enabled, Self.oldCollector, Self.oldTarget, Self.oldBatchSize,
            Self.oldBatchInterval,
        ]
    }
}

extension ConfigKind<Double> {
    /// A share: 0 to 1, or a percentage such as `1%`.
    package static var fraction: Self {
        Self("number, 0 to 1", shape: .share, describe: { PrometheusText.number($0) }) { text throws(ConfigMistake) in
            let value = text.hasSuffix("%") ? Double(text.dropLast()).map { $0 / 100 } : Double(text)
            guard let value, (0...1).contains(value) else {
                throw ConfigMistake("\"\(text)\" is no share", remedy: "write 0 to 1, such as 0.01")
            }
            return value
        }
    }
}
