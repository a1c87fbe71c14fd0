// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import Testing

@testable import AdminAPI

@Suite struct SpanQueueTests {
    private let metrics = MetricsRegistry(startTime: 0, own: MetricLabels())

    private func queue() -> SpanQueue { SpanQueue(separator: Array(",".utf8), metrics: self.metrics) }

    /// Spans that were counted, by what became of them.
    private func counts() -> [String: Int] {
        let family = self.metrics.families().first { $0.name == "mesher_trace_spans_total" }
        let pairs = (family?.samples ?? []).map { ($0.labels["result"] ?? "", Int($0.value)) }
        return Dictionary(pairs) { $0 + $1 }.filter { $0.value > 0 }
    }

    private func taken(_ spans: (bytes: ByteBuffer, count: Int)?) -> String? {
        spans.map { "\($0.count) \(String(buffer: $0.bytes))" }
    }

    @Test("spans wait until there are enough")
    func byCount() {
        let queue = self.queue()
        #expect(queue.take(atLeast: 0, orAfter: .zero) == nil)
        queue.add(ByteBuffer(string: "a"), count: 1)
        queue.add(ByteBuffer(string: "b,c"), count: 2)
        #expect(queue.take(atLeast: 4, orAfter: .seconds(3600)) == nil)
        queue.add(ByteBuffer(string: "d"), count: 1)
        #expect(self.taken(queue.take(atLeast: 4, orAfter: .seconds(3600))) == "4 a,b,c,d")
        // Nothing comes twice, and the next ones begin anew.
        #expect(queue.take(atLeast: 0, orAfter: .zero) == nil)
        queue.add(ByteBuffer(string: "e"), count: 1)
        #expect(self.taken(queue.take(atLeast: 1, orAfter: .seconds(3600))) == "1 e")
        #expect(self.counts().isEmpty)
    }

    @Test("spans wait no longer than they may")
    func byAge() {
        let queue = self.queue()
        queue.add(ByteBuffer(string: "a"), count: 1)
        #expect(queue.take(atLeast: 2, orAfter: .seconds(3600)) == nil)
        #expect(self.taken(queue.take(atLeast: 2, orAfter: .zero)) == "1 a")
    }

    @Test("as many bytes as make a post do not wait")
    func byBytes() {
        let queue = self.queue()
        queue.add(ByteBuffer(repeating: 0x61, count: SpanQueue.post - 1), count: 1)
        #expect(queue.take(atLeast: 10, orAfter: .seconds(3600)) == nil)
        queue.add(ByteBuffer(string: "b"), count: 1)
        #expect(queue.take(atLeast: 10, orAfter: .seconds(3600))?.count == 2)
    }

    @Test("a full queue drops what comes, counts it, and takes again what fits")
    func bounds() {
        let queue = self.queue()
        let megabyte = ByteBuffer(repeating: 0x61, count: 1 << 20)
        // The separators leave no room for the eighth.
        for _ in 0..<10 { queue.add(megabyte, count: 5) }
        #expect(self.counts() == ["dropped": 15])
        queue.add(ByteBuffer(string: "small"), count: 1)
        #expect(self.counts() == ["dropped": 15])
        let spans = queue.take(atLeast: 1, orAfter: .zero)
        #expect(spans?.count == 36 && (spans?.bytes.readableBytes ?? 0) < SpanQueue.capacity)
        queue.add(megabyte, count: 1)
        #expect(self.counts() == ["dropped": 15] && queue.take(atLeast: 1, orAfter: .zero)?.count == 1)
    }

    @Test("what became of spans is counted")
    func outcomes() {
        let queue = self.queue()
        queue.count(.exported, 3)
        queue.count(.failed, 2)
        queue.count(.exported, 1)
        #expect(self.counts() == ["exported": 4, "failed": 2])
    }
}
