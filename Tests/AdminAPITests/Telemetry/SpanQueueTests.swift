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
        #expect(queue.take(0, orAfter: .zero) == nil)
        queue.add(ByteBuffer(string: "a"), ends: [1])
        queue.add(ByteBuffer(string: "b,c"), ends: [1, 3])
        #expect(queue.take(4, orAfter: .seconds(3600)) == nil)
        queue.add(ByteBuffer(string: "d"), ends: [1])
        #expect(self.taken(queue.take(4, orAfter: .seconds(3600))) == "4 a,b,c,d")
        // Nothing comes twice, and the next ones begin anew.
        #expect(queue.take(0, orAfter: .zero) == nil)
        queue.add(ByteBuffer(string: "e"), ends: [1])
        #expect(self.taken(queue.take(1, orAfter: .seconds(3600))) == "1 e")
        #expect(self.counts().isEmpty)
    }

    @Test("spans wait no longer than they may")
    func byAge() {
        let queue = self.queue()
        queue.add(ByteBuffer(string: "a"), ends: [1])
        #expect(queue.take(2, orAfter: .seconds(3600)) == nil)
        #expect(self.taken(queue.take(2, orAfter: .zero)) == "1 a")
    }

    @Test("as many bytes as make a post do not wait")
    func byBytes() {
        let queue = self.queue()
        queue.add(ByteBuffer(repeating: 0x61, count: SpanQueue.post - 1), ends: [SpanQueue.post - 1])
        #expect(queue.take(10, orAfter: .seconds(3600)) == nil)
        queue.add(ByteBuffer(string: "b"), ends: [1])
        // One post, then the other: both together would be too large.
        #expect(queue.take(10, orAfter: .seconds(3600))?.count == 1)
        #expect(self.taken(queue.take(10, orAfter: .zero)) == "1 b")
    }

    @Test("a full queue drops what comes, counts it, and takes again what fits")
    func bounds() {
        let queue = self.queue()
        let megabyte = ByteBuffer(repeating: 0x61, count: 1 << 20)
        // The separators leave no room for the eighth.
        for _ in 0..<10 { queue.add(megabyte, ends: [1 << 20]) }
        #expect(self.counts() == ["dropped": 3])
        queue.add(ByteBuffer(string: "small"), ends: [5])
        #expect(self.counts() == ["dropped": 3])
        var taken = 0
        while let spans = queue.take(2, orAfter: .zero) {
            #expect(spans.count <= 2 && spans.bytes.readableBytes <= SpanQueue.post)
            taken += spans.count
        }
        #expect(taken == 8)
        queue.add(megabyte, ends: [1 << 20])
        #expect(self.counts() == ["dropped": 3] && queue.take(1, orAfter: .zero)?.count == 1)
    }

    @Test("no more are taken than a post may have, and the rest follows whole")
    func batches() {
        let queue = self.queue()
        queue.add(ByteBuffer(string: "a,bb,ccc"), ends: [1, 4, 8])
        queue.add(ByteBuffer(string: "d"), ends: [1])
        #expect(self.taken(queue.take(2, orAfter: .seconds(3600))) == "2 a,bb")
        queue.add(ByteBuffer(string: "e"), ends: [1])
        #expect(self.taken(queue.take(2, orAfter: .seconds(3600))) == "2 ccc,d")
        #expect(self.taken(queue.take(2, orAfter: .zero)) == "1 e")
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
