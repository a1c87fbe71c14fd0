// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import Synchronization

/// Spans that wait to be posted: bounded, so that a collector that is away costs spans and nothing else.
package final class SpanQueue: Sendable {
    private struct State {
        var bytes = ByteBuffer()
        var count = 0
        var oldest: ContinuousClock.Instant?
    }

    /// Bytes that may wait.
    static let capacity = 8 << 20
    /// So many bytes are posted without waiting for more.
    static let post = 4 << 20

    private let state = Mutex(State())
    /// What stands between two spans.
    let separator: [UInt8]
    private let outcomes: [Outcome: Counter]

    /// What became of a span.
    enum Outcome: String, CaseIterable {
        case exported
        /// The queue was full.
        case dropped
        /// The collector refused it, or could not be reached.
        case failed
    }

    /// An empty queue.
    ///
    /// - Parameter separator: What stands between two spans.
    init(separator: [UInt8], metrics: MetricsRegistry) {
        self.separator = separator
        self.outcomes = Dictionary(
            uniqueKeysWithValues: Outcome.allCases.map { outcome in
                (
                    outcome,
                    metrics.counter(
                        "mesher_trace_spans", MetricLabels(["result": outcome.rawValue]),
                        help: "Spans by what became of them: posted, not posted, or dropped because too many waited.")
                )
            })
    }

    /// Counts spans.
    func count(_ outcome: Outcome, _ count: Int) { self.outcomes[outcome]?.addShared(count) }

    /// Adds spans, with separators between them.
    func add(_ spans: ByteBuffer, count: Int) {
        let isKept = self.state.withLock { state in
            guard state.bytes.readableBytes + spans.readableBytes < Self.capacity else { return false }
            if state.count > 0 { state.bytes.writeBytes(self.separator) } else { state.oldest = .now }
            state.bytes.writeImmutableBuffer(spans)
            state.count += count
            return true
        }
        if !isKept { self.count(.dropped, count) }
    }

    /// The spans that wait, when there are enough or they have waited for long enough.
    func take(atLeast count: Int, orAfter interval: Duration) -> (bytes: ByteBuffer, count: Int)? {
        self.state.withLock { state in
            guard let oldest = state.oldest else { return nil }
            guard state.count >= count || state.bytes.readableBytes >= Self.post || .now - oldest >= interval else {
                return nil
            }
            defer { state = State() }
            return (state.bytes, state.count)
        }
    }
}
