// SPDX-License-Identifier: Apache-2.0

package import Common
import FoundationEssentials
import Logging
import NIOCore
import Synchronization

/// What is kept of single requests: outlives every restart of the components that fill and empty it.
package final class Telemetry: Sendable {
    /// Where the event loops leave their records.
    package let inbox = Mailbox<ExchangeRecords>("telemetry", capacity: 64, whenFull: .dropNewest)
    let own: ServiceIdentity
    /// Writes spans; `nil` when nothing is traced.
    let encoder: SpanEncoder?
    /// Spans that wait to be exported.
    let spans: SpanQueue
    /// The newest failures.
    let failures = FailureList()
    /// What the handler `monitoring` counts.
    let statistics: RequestStatistics
    private let access = Mutex<AccessWriter?>(nil)
    /// Whether the reader has come to a portion without records, which stands for the end.
    private let isEmptied = Atomic(false)

    /// How requests are written, and where to.
    struct AccessWriter: Sendable {
        var log: AccessLog
        let output: LogOutput
        let config: LogConfig.AccessLogConfig
    }

    /// Without a request yet.
    ///
    /// - Parameter logs: What is logged, with absolute paths.
    package init(_ config: MesherConfig, logs: LogConfig, metrics: MetricsRegistry) {
        self.own = config.identity
        self.encoder = config.tracing.map { SpanEncoder(format: $0.format, own: config.identity) }
        var separator = Array(",".utf8)
        if case .file = config.tracing?.destination { separator = [.lineFeed] }
        self.spans = SpanQueue(separator: separator, metrics: metrics)
        self.statistics = RequestStatistics(config.identity)
        let statistics = self.statistics
        metrics.addCollector { statistics.families() }
        self.apply(logs)
    }

    /// Makes the access log go where `logs` says.
    package func apply(_ logs: LogConfig) {
        self.access.withLock { writer in
            guard let access = logs.access else {
                writer = nil
                return
            }
            var settings = logs.settings
            settings.writers = access.path == "stdout" ? [.stdout] : [.file]
            settings.path = access.path
            settings.level = .trace
            if let known = writer, known.config == access {
                known.output.apply(settings)
                return
            }
            writer = AccessWriter(
                log: AccessLog(format: access.format), output: LogOutput(settings), config: access)
        }
    }

    /// Waits until the access log is written.
    ///
    /// Blocks the thread: for the end of the process.
    package func flush() { self.access.withLock { $0 }?.output.flush() }

    /// Returns when everything that was handed over before is written, or when the task is cancelled.
    func empty() async {
        self.isEmptied.store(false, ordering: .relaxed)
        while !self.inbox.send(ExchangeRecords([], text: [], dropped: 0)), !Task.isCancelled {
            try? await Task.sleep(for: .milliseconds(5))
        }
        while !self.isEmptied.load(ordering: .acquiring), !Task.isCancelled {
            try? await Task.sleep(for: .milliseconds(2))
        }
    }

    /// Added to a moment of an event loop's clock, in microseconds, gives the time since 1970.
    ///
    /// Both clocks now: the difference holds for records that are at most some seconds old.
    static var clockOffset: Int {
        Int(Date().timeIntervalSince1970 * 1e6) - Int(NIODeadline.now().uptimeNanoseconds / 1000)
    }

    /// Takes what an event loop has handed over.
    func take(_ records: ExchangeRecords) {
        let offset = Self.clockOffset
        var writer = self.access.withLock { $0 }
        // Room for what most requests need, so that little is moved while it grows.
        let room = records.records.count * 512 + 2048
        var (lines, lineCount) = (ByteBuffer(), 0)
        if writer != nil { lines.reserveCapacity(room) }
        var (spans, ends) = (ByteBuffer(), [Int]())
        if self.encoder != nil { spans.reserveCapacity(room) }
        for record in records.records {
            let start = Int(record.startedAt.uptimeNanoseconds / 1000) + offset
            let uses = record.uses
            let isJSON = uses.contains(.span) || uses.contains(.accessLog) && writer?.log.format == .json
            let isClean = isJSON && records.isClean(record)
            if uses.contains(.accessLog) {
                writer?.log.write(record, of: records, isClean: isClean, at: start, to: &lines)
                lineCount += 1
            }
            if uses.contains(.monitoring) { self.statistics.count(record, of: records) }
            if uses.contains(.failure) { self.failures.add(record, of: records, at: start) }
            if uses.contains(.span), let trace = record.trace, let encoder = self.encoder {
                if !ends.isEmpty { spans.writeBytes(self.spans.separator) }
                encoder.write(record, trace, of: records, isClean: isClean, start: start, to: &spans)
                ends.append(spans.readableBytes)
            }
        }
        if lines.readableBytes > 0 { writer?.output.write(lines, count: lineCount) }
        if !ends.isEmpty { self.spans.add(spans, ends: ends) }
        if records.records.isEmpty { self.isEmptied.store(true, ordering: .releasing) }
    }
}

/// Writes down what the event loops tell of requests: access log, spans, failures.
package actor TelemetryComponent: Component {
    private let telemetry: Telemetry
    private let collect: @Sendable () async -> Void

    /// A component that empties the inbox of `telemetry`.
    ///
    /// - Parameter collect: Has the event loops hand over what they still have.
    package init(_ telemetry: Telemetry, collect: @escaping @Sendable () async -> Void = {}) {
        self.telemetry = telemetry
        self.collect = collect
    }

    package func run() async throws {
        while let records = await self.telemetry.inbox.receive() { self.telemetry.take(records) }
    }

    /// The last records, before the end.
    package func drain() async {
        await self.collect()
        await self.telemetry.empty()
    }
}
