// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import Synchronization

/// Spans that wait to be posted: bounded, so that a collector that is away costs spans and nothing else.
package final class SpanQueue: Sendable {
    private struct State {
        var bytes = ByteBuffer()
        /// Where each span ends in the bytes.
        var ends: [Int] = []
        var oldest: ContinuousClock.Instant?
    }

    /// Bytes that may wait.
    static let capacity = 8 << 20
    /// Bytes of one post at most, so that collectors take it.
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
    ///
    /// - Parameter ends: Where each of them ends.
    func add(_ spans: ByteBuffer, ends: [Int]) {
        let isKept = self.state.withLock { state in
            guard state.bytes.readableBytes + spans.readableBytes < Self.capacity else { return false }
            if state.ends.isEmpty { state.oldest = .now } else { state.bytes.writeBytes(self.separator) }
            let start = state.bytes.readableBytes
            state.bytes.writeImmutableBuffer(spans)
            state.ends += ends.map { start + $0 }
            return true
        }
        if !isKept { self.count(.dropped, ends.count) }
    }

    /// The spans that wait, `count` of them at most, when there are enough or they have waited for long enough.
    func take(_ count: Int, orAfter interval: Duration) -> (bytes: ByteBuffer, count: Int)? {
        self.state.withLock { state in
            guard let oldest = state.oldest, !state.ends.isEmpty else { return nil }
            guard state.ends.count >= count || state.bytes.readableBytes >= Self.post || .now - oldest >= interval
            else { return nil }
            // One at least, however long it is.
            let fitting = state.ends.prefix(max(1, count)).prefix { $0 <= Self.post }
            let taken = max(1, fitting.count)
            let end = state.ends[taken - 1]
            guard taken < state.ends.count else {
                defer { state = State() }
                return (state.bytes, taken)
            }
            let first = state.bytes.readSlice(length: end) ?? ByteBuffer()
            let start = end + self.separator.count
            state.bytes = ByteBuffer(
                buffer: state.bytes.getSlice(
                    at: state.bytes.readerIndex + self.separator.count,
                    length: state.bytes.readableBytes - self.separator.count) ?? ByteBuffer())
            state.ends = state.ends[taken...].map { $0 - start }
            return (first, taken)
        }
    }
}
