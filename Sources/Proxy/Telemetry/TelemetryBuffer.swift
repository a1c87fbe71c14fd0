// SPDX-License-Identifier: Apache-2.0
// request path

package import Common
import NIOCore

extension ExchangeRecord.Uses {
    /// What the handlers of a chain ask for.
    package init(_ chain: [String], _ config: MesherConfig) {
        self = []
        if chain.contains("access-log"), config.logs.access != nil { self.insert(.accessLog) }
        if chain.contains("monitoring") { self.insert(.monitoring) }
    }
}

/// Gathers what access log, traces and the list of failures want to know of one event loop's requests, and hands it on
/// in portions.
///
/// Bounded: what its reader does not fetch in time is dropped and counted. A request costs a copy of its method, target
/// and host, and nothing at all when nobody wants to know of it. Whoever watches requests as they end has a buffer of its
/// own for that (``TapBuffer``), so that it takes no place from the others.
package final class TelemetryBuffer {
    /// Records in one portion.
    static let portion = 256
    /// Failures remembered between two hand-overs; more of them tell nothing new.
    static let failures = 20
    /// The longest target that is kept.
    static let longestTarget = 2048
    /// The longest host that is kept.
    static let longestHost = 255

    private let outbox: Mailbox<ExchangeRecords>?
    private var records: [ExchangeRecord] = []
    private var text: [UInt8] = []
    private var failures = 0
    /// Records that a full mailbox did not take, since the last that it took.
    private var dropped = 0
    /// All of them.
    private let droppedInAll: Counter
    /// Who watches requests as they end; mostly nobody.
    private var taps: [TapBuffer] = []
    /// What is recorded of every request because somebody watches.
    private var tapped: ExchangeRecord.Uses = []

    /// - Parameter outbox: Where portions go; `nil` when nobody reads them.
    init(_ outbox: Mailbox<ExchangeRecords>?, metrics: MetricsRegistry) {
        self.outbox = outbox
        self.droppedInAll = metrics.counter(
            "mesher_telemetry_dropped",
            help: "Requests that are missing in access log or traces, because their readers were too slow.")
    }

    /// An exchange is over.
    ///
    /// - Parameter uses: What its listener records of every request.
    @inline(__always)
    func ended(_ exchange: borrowing Exchange, _ uses: ExchangeRecord.Uses) {
        var uses = uses.union(self.tapped)
        if exchange.trace?.isSampled == true { uses.insert(.span) }
        if exchange.error != nil || exchange.status >= 500 || exchange.attempt.isFailure { uses.insert(.failure) }
        if !uses.isEmpty { self.record(exchange, uses) }
    }

    private func record(_ exchange: borrowing Exchange, _ wanted: ExchangeRecord.Uses) {
        var uses = wanted
        if uses.contains(.tap) {
            for tap in self.taps { tap.offer(exchange) }
            uses.remove(.tap)
        }
        guard self.outbox != nil, !uses.isEmpty else { return }
        if uses.contains(.failure) {
            if self.failures >= Self.failures || exchange.error?.reason == .clientGone { uses.remove(.failure) }
            self.failures &+= 1
            if uses.isEmpty { return }
        }
        var record = ExchangeRecord(exchange, uses, longestTarget: Self.longestTarget, text: &self.text)
        if uses.contains(.accessLog) { record.flags = ResponseFlags(exchange) }
        if uses.contains(.span) { record.operation = exchange.effect?.action.extras.operation }
        self.records.append(record)
        if self.records.count >= Self.portion { self.handOver() }
    }

    /// Hands on what there is.
    package func handOver() {
        self.failures = 0
        guard !self.records.isEmpty, let outbox = self.outbox else { return }
        let count = self.records.count
        if outbox.send(ExchangeRecords(self.records, text: self.text, dropped: self.dropped)) {
            self.dropped = 0
        } else {
            self.dropped &+= count
            self.droppedInAll.add(count)
        }
        self.records = []
        self.records.reserveCapacity(count)
        self.text = []
        self.text.reserveCapacity(4096)
    }

    // MARK: Watchers

    /// Somebody watches requests as they end.
    func begin(_ tap: TapBuffer) {
        self.taps.append(tap)
        self.tapped = .tap
    }

    /// What a watcher has not seen yet; nothing when it has ended.
    func fetch(_ key: TapKey) -> ExchangeRecords {
        self.taps.first { $0.key === key }?.take() ?? ExchangeRecords([], text: [], dropped: 0)
    }

    /// A watcher has gone.
    func end(_ key: TapKey) {
        self.taps.removeAll { $0.key === key }
        if self.taps.isEmpty { self.tapped = [] }
    }
}

extension ExchangeRecord {
    /// What is known of an exchange that is over.
    ///
    /// - Parameter longestTarget: How much of path and query is kept.
    /// - Parameter text: Gets its texts.
    init(_ exchange: borrowing Exchange, _ uses: Uses, longestTarget: Int, text: inout [UInt8]) {
        let start = text.count
        let head = exchange.request
        let method = exchange.requestHeaders.append(head.methodName, limit: 32, to: &text)
        let target = exchange.requestHeaders.append(exchange.askedPath, limit: longestTarget, to: &text)
        let host = exchange.requestHeaders.append(
            head.authority.whole, limit: TelemetryBuffer.longestHost, to: &text)
        self.init(
            uses: uses, side: exchange.direction == .outgoing ? .consumer : .provider, isGRPC: exchange.isGRPC,
            status: exchange.status, grpcStatus: exchange.grpcStatus, reason: exchange.error?.reason,
            attempts: exchange.attempts, requestBytes: exchange.requestBytes,
            responseBytes: exchange.responseBytes, startedAt: exchange.startedAt,
            duration: exchange.worker.now - exchange.startedAt, trace: exchange.trace,
            service: exchange.target?.service, endpoints: exchange.balancing.balancer?.set,
            endpoint: exchange.endpoint, caller: exchange.source?.service, peer: exchange.peer, text: start,
            methodLength: method, targetLength: target, hostLength: host)
    }
}
