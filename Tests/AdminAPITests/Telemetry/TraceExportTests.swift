// SPDX-License-Identifier: Apache-2.0

import Common
import Logging
import NIOCore
import NIOPosix
import TestSupport
import Testing

@testable import AdminAPI

@Suite(.timeLimit(.minutes(1))) struct TraceExportTests {
    @Test("a collector that does not end its answer is given up, and the next spans are posted")
    func hangingCollector() async throws {
        let collector = try await TestOrigin.start { _ in "HTTP/1.1 202 Accepted\r\nContent-Length: 9\r\n\r\nx" }
        try await self.run("http://127.0.0.1:\(collector.port)/") { spans in
            for count in 1...2 {
                spans.add(ByteBuffer(string: "{}"), ends: [2])
                #expect(await eventually { self.count("failed") == count })
            }
        }
        await collector.stop()
    }

    @Test("a collector by name is posted to at another of its addresses after a failure")
    func named() async throws {
        let collector = try await TestOrigin.start { _ in "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n" }
        try await self.run("http://spans.invalid:\(collector.port)/") { spans in
            spans.add(ByteBuffer(string: "{}"), ends: [2])
            #expect(await eventually { self.count("failed") == 1 })
            // A machine that is busy may need more than one try for an answer within the patience.
            for tries in 2...50 where self.count("exported") == 0 {
                spans.add(ByteBuffer(string: "{}"), ends: [2])
                #expect(await eventually { self.count("failed") + self.count("exported") == tries })
            }
            #expect(self.count("exported") == 1)
        }
        await collector.stop()
    }

    private func run(_ url: String, _ body: (SpanQueue) async throws -> Void) async throws {
        var reader = ConfigReader(ConfigStore([]))
        let config = MesherConfig(&reader)
        let telemetry = Telemetry(config, logs: config.logs, metrics: self.metrics)
        var tracing = TracingConfig()
        tracing.destination = .http(url)
        tracing.batchInterval = .milliseconds(1)
        // Nobody listens at the first address.
        let resolver = NameResolver { $0 == "spans.invalid" ? ["127.0.0.1", "127.0.0.0"] : nil }
        let component = TraceExportComponent(
            tracing, telemetry: telemetry, patience: .milliseconds(200), resolver: resolver,
            loops: MultiThreadedEventLoopGroup.singleton,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        try await whileRunning({ try await component.run() }, { try await body(telemetry.spans) })
    }

    private let metrics = MetricsRegistry(startTime: 0, own: MetricLabels())

    private func count(_ result: String) -> Int {
        let families = self.metrics.families().filter { $0.name == "mesher_trace_spans_total" }
        let samples = families.flatMap(\.samples).filter { $0.labels["result"] == result }
        return Int(samples.first?.value ?? 0)
    }
}
