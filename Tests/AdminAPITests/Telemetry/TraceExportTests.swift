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
        var reader = ConfigReader(ConfigStore([]))
        let config = MesherConfig(&reader)
        let telemetry = Telemetry(config, logs: config.logs, metrics: self.metrics)
        var tracing = TracingConfig()
        tracing.destination = .http("http://127.0.0.1:\(collector.port)/")
        tracing.batchInterval = .milliseconds(1)
        let component = TraceExportComponent(
            tracing, telemetry: telemetry, patience: .milliseconds(200), loops: MultiThreadedEventLoopGroup.singleton,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let running = Task { try await component.run() }
        for count in 1...2 {
            telemetry.spans.add(ByteBuffer(string: "{}"), ends: [2])
            #expect(await eventually { self.failed == count })
        }
        running.cancel()
        _ = await running.result
        await collector.stop()
    }

    private let metrics = MetricsRegistry(startTime: 0, own: MetricLabels())

    private var failed: Int {
        let families = self.metrics.families().filter { $0.name == "mesher_trace_spans_total" }
        let samples = families.flatMap(\.samples).filter { $0.labels["result"] == "failed" }
        return Int(samples.first?.value ?? 0)
    }
}
