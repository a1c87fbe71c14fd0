// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import NIOEmbedded
import Testing

@testable import Proxy

/// With how many writes a message goes out, and when.
@Suite struct MessageWriterTests {
    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
    }

    private final class Tail: EventTail {
        var count = 0
        func eventEnds() { self.count += 1 }
    }

    /// A channel, and a worker whose scratch buffer a head stands in.
    private struct Writer {
        let bench: Bench
        let channel: WiredChannel
        let context: ChannelHandlerContext

        init(_ bench: Bench) throws {
            self.bench = bench
            let handler = Handler()
            self.channel = try WiredChannel(bench, handler)
            self.context = try channel.channel.pipeline.syncOperations.context(handler: handler)
        }

        func add(
            head: String = "", _ body: String?, _ framing: HTTP1Writer.Framing, isComplete: Bool,
            trailers: [String: String] = [:]
        ) {
            self.bench.worker.flushes.scratch.clear()
            self.bench.worker.flushes.scratch.writeString(head)
            let block = trailers.isEmpty ? nil : Self.block(trailers)
            MessageWriter.add(
                body.map { ByteBuffer(string: $0) }, framing: framing, isComplete: isComplete, trailers: block,
                worker: self.bench.worker, to: self.context)
        }

        private static func block(_ fields: [String: String]) -> HeaderBlock {
            var block = HeaderBlock()
            for (name, value) in fields { block.append(HeaderLine(name, value)) }
            return block
        }

        func flush(isLast: Bool = false) { MessageWriter.flush(self.bench.worker, to: self.context, isLast: isLast) }
    }

    @Test("head and small body go out together")
    func joined() throws {
        let writer = try Writer(Bench())
        let body = String(repeating: "b", count: MessageWriter.joinLimit)
        writer.add(head: "head ", body, .byHead, isComplete: true)
        #expect(writer.channel.wire.pending.isEmpty)
        writer.flush()
        #expect(writer.channel.wire.news() == ["head " + body])
    }

    @Test("a large body goes out as it came")
    func slices() throws {
        let writer = try Writer(Bench())
        let body = String(repeating: "b", count: MessageWriter.joinLimit + 1)
        writer.add(head: "head ", body, .byHead, isComplete: false)
        #expect(writer.channel.wire.sent.isEmpty)
        writer.flush()
        writer.add(body, .byHead, isComplete: true)
        writer.flush()
        #expect(writer.channel.wire.news() == ["head ", body, body])
    }

    @Test("chunks: size before, line end behind, and the last one with the trailers")
    func chunks() throws {
        let writer = try Writer(Bench())
        writer.add(head: "head ", "abc", .chunked, isComplete: false)
        writer.flush()
        let large = String(repeating: "b", count: 0x4001)
        writer.add(large, .chunked, isComplete: false)
        writer.flush()
        writer.add("0123456789", .chunked, isComplete: true, trailers: ["sum": "6"])
        writer.flush()
        writer.add(head: "head ", nil, .chunked, isComplete: true)
        writer.flush()
        // An empty piece would end the body.
        writer.add(head: "head ", "", .chunked, isComplete: false)
        writer.flush()
        #expect(
            writer.channel.wire.news() == [
                "head 3\r\nabc\r\n", "4001\r\n", large, "\r\n", "a\r\n0123456789\r\n0\r\nsum: 6\r\n\r\n",
                "head 0\r\n\r\n", "head ",
            ])
    }

    @Test("small complete messages go out at the end of the turn, each as it was written")
    func endOfTurn() throws {
        let bench = try Bench()
        let first = try Writer(bench)
        let second = try Writer(bench)
        first.add(head: "first ", "a", .byHead, isComplete: true)
        first.flush(isLast: true)
        second.add(head: "second ", "b", .byHead, isComplete: true)
        second.flush(isLast: true)
        // Not the last one: goes out at once.
        second.add(head: "third ", "c", .byHead, isComplete: false)
        #expect(first.channel.wire.sent.isEmpty && second.channel.wire.sent.isEmpty)
        bench.loop.run()
        #expect(first.channel.wire.news() == ["first a"])
        #expect(second.channel.wire.news() == ["second b"])
        second.flush()
        #expect(second.channel.wire.news() == ["third c"])
    }

    @Test("large messages go out at once")
    func largeAtOnce() throws {
        let writer = try Writer(Bench())
        let body = String(repeating: "b", count: MessageWriter.joinLimit)
        writer.add(head: "head ", body, .byHead, isComplete: true)
        writer.flush(isLast: true)
        #expect(writer.channel.wire.news() == ["head " + body])
    }

    @Test("buffers of one turn are not used again before they are flushed, and are then")
    func lentBuffers() throws {
        let bench = try Bench()
        let writers = try (0..<70).map { _ in try Writer(bench) }
        for turn in 0..<2 {
            for (number, writer) in writers.enumerated() {
                writer.add(head: "\(turn) \(number)", nil, .byHead, isComplete: true)
                writer.flush(isLast: true)
            }
            bench.loop.run()
            #expect(writers.map { $0.channel.wire.news() } == (0..<70).map { ["\(turn) \($0)"] })
        }
    }

    @Test("whoever waits for everything written is told when the last of it is with the kernel, at the event's end")
    func whenWritten() throws {
        let writer = try Writer(Bench())
        let tail = Tail()
        writer.channel.wire.isFull = true
        writer.add(head: "head ", "a", .byHead, isComplete: true)
        writer.flush()
        MessageWriter.whenWritten(writer.context, writer.bench.worker) { tail }
        writer.bench.loop.run()
        #expect(tail.count == 0)
        writer.bench.worker.event {
            writer.channel.wire.letGo()
            #expect(tail.count == 0)
        }
        #expect(tail.count == 1)
        #expect(writer.channel.wire.news() == ["head a"])
    }

    @Test("where nothing stands in front of the channel, the channel is asked what waits, and nothing is written")
    func askedDirectly() throws {
        let writer = try Writer(Bench())
        let tail = Tail()
        writer.channel.wire.isFull = true
        writer.bench.worker.event {
            MessageWriter.whenWritten(writer.context, writer.bench.worker, isDirect: true) { tail }
            #expect(tail.count == 0)
        }
        #expect(tail.count == 1)
    }

    @Test("nobody is told when the channel is closed before")
    func neverWritten() throws {
        let writer = try Writer(Bench())
        let tail = Tail()
        writer.channel.wire.isFull = true
        MessageWriter.whenWritten(writer.context, writer.bench.worker) { tail }
        writer.context.close(promise: nil)
        writer.bench.loop.run()
        #expect(writer.channel.wire.isClosed)
        #expect(tail.count == 0)
    }
}
