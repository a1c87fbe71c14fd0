// SPDX-License-Identifier: Apache-2.0

import Common
import Testing

@Suite struct TracingConfigTests {
    private func read(_ yaml: String) throws -> (config: TracingConfig?, problems: [String]) {
        var source = ConfigSource(.files)
        source.add(try ConfigTree(yaml: yaml, source: "tracing.yaml"))
        var reader = ConfigReader(ConfigStore([source]))
        let config = TracingConfig(&reader)
        return (config, reader.problems.map(\.description))
    }

    /// The configuration of a file without mistakes.
    private func config(_ yaml: String) throws -> TracingConfig {
        let (config, problems) = try self.read(yaml)
        #expect(problems.isEmpty)
        return try #require(config)
    }

    @Test(
        "nothing is traced where nothing is configured, or tracing is off",
        arguments: [
            "", "other: 1", "tracing: {}", "tracing: {enabled: false}",
            "tracing: {enabled: 'no', tracer: zipkin, settings: {URI: 'http://z/api/v2/spans'}}",
            "tracing: {enabled: false, collectorType: file, collectorTarget: /tmp/spans}",
        ])
    func none(yaml: String) throws {
        let (config, problems) = try self.read(yaml)
        #expect(config == nil && problems.isEmpty)
    }

    @Test("any key switches it on, and the defaults are the original's")
    func defaults() throws {
        for yaml in ["enabled: true", "tracer: zipkin", "settings: {batchSize: 10000}", "collectorType: zipkin"] {
            #expect(try self.config("tracing: {\(yaml)}") == TracingConfig())
        }
        let defaults = TracingConfig()
        #expect(defaults.format == .zipkinV1 && defaults.destination == .http("http://127.0.0.1:9411/api/v1/spans"))
        #expect(defaults.batchSize == 10_000 && defaults.batchInterval == .seconds(10) && defaults.sampleRate == 1)
        #expect(defaults.formats == [.b3, .w3c] && defaults.sharesSpans)
    }

    private static let settings = """
        settings:
          URI: http://z:9411/api/v2/spans
          batchSize: 100
          batchInterval: 1s
          sampleRate: 0.25
          propagation: [w3c, b3Single]
        """

    @Test("the newer spelling, in both of its places", arguments: ["tracing", "servicecomb.apm.tracing"])
    func newSpelling(place: String) throws {
        var expected = TracingConfig()
        expected.format = .zipkinV2
        expected.destination = .http("http://z:9411/api/v2/spans")
        expected.batchSize = 100
        expected.batchInterval = .seconds(1)
        expected.sampleRate = 0.25
        expected.formats = [.w3c, .b3Single]
        let lines = Self.settings.split(separator: "\n").map { "  \($0)" }.joined(separator: "\n")
        #expect(try self.config("\(place):\n  tracer: zipkin\n\(lines)\n") == expected)
    }

    @Test("the older spelling")
    func oldSpelling() throws {
        var expected = TracingConfig()
        expected.destination = .http("http://z:9411/api/v1/spans")
        expected.batchSize = 5
        expected.batchInterval = .milliseconds(500)
        let yaml = "collectorTarget: 'http://z:9411/api/v1/spans', batchSize: 5, batchInterval: 500ms"
        #expect(try self.config("tracing: {enabled: true, collectorType: zipkin, \(yaml)}") == expected)
    }

    @Test("of both spellings the newer counts")
    func precedence() throws {
        let config = try self.config(
            """
            tracing:
              collectorType: zipkin
              collectorTarget: http://old/api/v1/spans
              batchSize: 1
              batchInterval: 1s
              settings: {collector: file, URI: /tmp/spans, batchSize: 2, batchInterval: 2s}
            """)
        #expect(config.destination == .file("/tmp/spans"))
        #expect(config.batchSize == 2 && config.batchInterval == .seconds(2))
    }

    @Test(
        "the path of the URL says the format, and a URL without a path gets one",
        arguments: [
            ("zipkin", "http://z:9411/api/v1/spans", .zipkinV1, "http://z:9411/api/v1/spans"),
            ("zipkin", "http://z:9411/api/v2/spans", .zipkinV2, "http://z:9411/api/v2/spans"),
            ("zipkin", "https://z/prefix/api/v2/spans", .zipkinV2, "https://z/prefix/api/v2/spans"),
            ("zipkin", "http://z/elsewhere", .zipkinV1, "http://z/elsewhere"),
            ("zipkin", "http://z:9411", .zipkinV1, "http://z:9411/api/v1/spans"),
            ("zipkin", "http://z:9411/", .zipkinV1, "http://z:9411/api/v1/spans"),
            ("zipkin", "http://o:4318/v1/traces", .otlp, "http://o:4318/v1/traces"),
            ("otlp", "http://o:4318", .otlp, "http://o:4318/v1/traces"),
            ("otlp", "http://o:4318/", .otlp, "http://o:4318/v1/traces"),
            ("otlp", "http://o:4318/mine", .otlp, "http://o:4318/mine"),
            ("OTLP", "http://o/api/v2/spans", .otlp, "http://o/api/v2/spans"),
        ] as [(String, String, TracingConfig.Format, String)])
    func formats(tracer: String, uri: String, format: TracingConfig.Format, url: String) throws {
        let config = try self.config("tracing: {tracer: \(tracer), settings: {URI: '\(uri)'}}")
        #expect(config.format == format && config.destination == .http(url))
        #expect(config.sharesSpans == (format != .otlp))
    }

    @Test("OTLP goes where collectors listen, unless told otherwise")
    func otlp() throws {
        let config = try self.config("tracing: {tracer: otlp}")
        #expect(config.format == .otlp && config.destination == .http("http://127.0.0.1:4318/v1/traces"))
        #expect(!config.sharesSpans)
    }

    @Test(
        "spans may go to a file or named pipe",
        arguments: [
            ("settings: {collector: file, URI: /tmp/spans}", .zipkinV2),
            ("settings: {collector: namedPipe, URI: /tmp/spans}", .zipkinV2),
            ("settings: {collector: NAMEDPIPE, URI: /tmp/spans}", .zipkinV2),
            ("collectorType: namedPipe, collectorTarget: /tmp/spans", .zipkinV2),
            ("tracer: otlp, settings: {collector: file, URI: /tmp/spans}", .otlp),
        ] as [(String, TracingConfig.Format)])
    func files(yaml: String, format: TracingConfig.Format) throws {
        let config = try self.config("tracing: {\(yaml)}")
        #expect(config.destination == .file("/tmp/spans") && config.format == format)
    }

    @Test(
        "a file without a path is a mistake that says what to write",
        arguments: [
            ("settings: {collector: file}", "1:33: tracing.settings.collector"),
            ("settings: {collector: namedPipe, URI: ''}", "1:33: tracing.settings.collector"),
            ("collectorType: file", "1:26: tracing.collectorType"),
        ])
    func noPath(yaml: String, place: String) throws {
        let (config, problems) = try self.read("tracing: {\(yaml)}")
        #expect(config == nil)
        #expect(
            problems == [
                "tracing.yaml:\(place): spans go to a file, and nothing says which; "
                    + "write its path as tracing.settings.URI"
            ])
    }

    @Test(
        "what is no URL is a mistake that says what to write",
        arguments: [
            "z:9411", "/tmp/spans", "ftp://z/api/v2/spans", "http://", "http://a b/", "", "http://z:65536/v1/traces",
        ])
    func noURL(uri: String) throws {
        let (_, problems) = try self.read("tracing: {settings: {URI: '\(uri)'}}")
        #expect(
            problems == [
                "tracing.yaml:1:27: tracing.settings.URI: \"\(uri)\" is no URL that spans can be posted to; "
                    + "write one such as http://127.0.0.1:9411/api/v2/spans"
            ])
        let old = try self.read("tracing: {collectorTarget: '\(uri)'}")
        #expect(old.problems.count == 1 && old.problems[0].hasPrefix("tracing.yaml:1:28: tracing.collectorTarget: "))
    }

    @Test(
        "a share is a number or a percentage",
        arguments: [("0", 0), ("1", 1), ("0.01", 0.01), ("1%", 0.01), ("100%", 1), ("0%", 0), ("12.5%", 0.125)])
    func rates(text: String, expected: Double) throws {
        #expect(try self.config("tracing: {settings: {sampleRate: '\(text)'}}").sampleRate == expected)
    }

    @Test("what is no share is a mistake", arguments: ["-0.1", "1.01", "101%", "-1%", "x", "", "%", "nan", "1 %"])
    func noRate(text: String) throws {
        let (config, problems) = try self.read("tracing: {tracer: zipkin, settings: {sampleRate: '\(text)'}}")
        #expect(config?.sampleRate == 1)
        #expect(
            problems == [
                "tracing.yaml:1:50: tracing.settings.sampleRate: \"\(text)\" is no share; write 0 to 1, such as 0.01"
            ])
    }

    @Test("headers may be a list or a text, and none at all")
    func propagation() throws {
        #expect(try self.config("tracing: {settings: {propagation: 'b3,w3c'}}").formats == [.b3, .w3c])
        #expect(try self.config("tracing: {settings: {propagation: [b3Single]}}").formats == [.b3Single])
        #expect(try self.config("tracing: {settings: {propagation: []}}").formats.isEmpty)
        let (_, problems) = try self.read("tracing: {settings: {propagation: [b3, jaeger]}}")
        #expect(
            problems.count == 1 && problems[0].hasSuffix("unknown format \"jaeger\"; write one of: b3, b3Single, w3c"))
    }
}
