// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import NIOEmbedded
import Testing

@testable import Proxy

/// An HTTP/1.1 connection whose client does as it likes.
@Suite struct HTTP1ServerConnectionTests {
    private static let get = "GET /a HTTP/1.1\r\nHost: cart\r\n\r\n"
    private static let last = "GET /a HTTP/1.1\r\nHost: cart\r\nConnection: close\r\n\r\n"

    /// A connection; by default every request is answered 204 at once.
    private static func open(
        _ values: [String: String] = [:],
        verdict: @escaping @Sendable (Int) -> Verdict = { _ in .reply(LocalReply(status: 204)) }
    ) throws -> (bench: Bench, client: WiredChannel) {
        let bench = try Bench(values, verdict: verdict)
        let plans = Snapshot(bench.plan, on: bench.loop).reader(for: bench.loop)
        // As behind TLS: the wire stands in front of the channel and may hold everything back.
        let connection = HTTP1ServerConnection(worker: bench.worker, plans: plans, negotiated: NegotiatedProtocol.none)
        return (bench, try WiredChannel(bench, connection))
    }

    /// How many requests have begun.
    private func begun(_ bench: Bench) -> Int { bench.stage.seen.tries }

    // MARK: Pipelined requests

    @Test("a client that does not take its answers is not read, and no further request of it begins, until it does")
    func notReading() throws {
        let (bench, client) = try Self.open()
        client.wire.isFull = true
        // The first answer fills the channel.
        client.wire.onWrite = { [channel = client.channel] in
            guard channel.isWritable else { return }
            channel.isWritable = false
            channel.pipeline.fireChannelWritabilityChanged()
        }
        client.receive(Self.get + Self.get)
        client.receive(Self.get)
        #expect(self.begun(bench) == 1)
        #expect(!client.isReading)
        client.wire.onWrite = {}
        client.wire.letGo()
        client.setWritable(true)
        bench.loop.run()
        #expect(self.begun(bench) == 3)
        #expect(client.isReading)
        #expect(client.wire.news().joined().components("HTTP/1.1 204") == 3)
    }

    @Test("one that never does is closed after the time that an answer may stand still")
    func neverReading() throws {
        let (bench, client) = try Self.open(["mesher.timeouts.stream": "3s"])
        client.setWritable(false)
        client.receive(Self.get)
        #expect(self.begun(bench) == 0)
        #expect(bench.passes(.seconds(3)) { !client.wire.isClosed })
        #expect(client.wire.isClosed)
        #expect(bench.hits(.clientStallTime) == 1)
    }

    @Test("many requests at once are answered in turns, all of them")
    func turns() throws {
        let (bench, client) = try Self.open()
        client.channel.pipeline.fireChannelRead(
            ByteBuffer(string: String(repeating: Self.get, count: 150)))
        #expect(self.begun(bench) == 64)
        bench.loop.run()
        #expect(self.begun(bench) == 150)
        #expect(client.wire.news().joined().components("HTTP/1.1 204") == 150)
    }

    @Test("an answer that breaks off ends the connection, and those before it go out first")
    func breaksOff() throws {
        let (bench, client) = try Self.open { $0 == 1 ? .reply(LocalReply(status: 204)) : .proceed }
        client.wire.isFull = true
        client.receive(Self.get + Self.get)
        let upstream = bench.connect()
        upstream.answer(["HTTP/1.1 200 OK"], body: "half", isComplete: false)
        upstream.fail()
        bench.loop.run()
        #expect(!client.wire.isClosed)
        client.wire.letGo()
        bench.loop.run()
        let sent = client.wire.news().joined()
        #expect(sent.hasPrefix("HTTP/1.1 204") && sent.hasSuffix("half\r\n"))
        bench.pass(.seconds(10))
        #expect(client.wire.isClosed)
    }

    @Test("what is sent ahead of an answer waits; more than the buffer stops reading, far more closes")
    func sentAhead() throws {
        let (bench, client) = try Self.open(["mesher.limits.buffer": "4096"]) { _ in .proceed }
        client.receive(Self.get)
        client.receive(Self.get)
        #expect(self.begun(bench) == 1)
        #expect(client.isReading)
        client.receive("GET /b HTTP/1.1\r\nHost: cart\r\nx: \(String(repeating: "x", count: 5000))\r\n\r\n")
        #expect(!client.isReading)
        let upstream = bench.connect()
        upstream.answer(["HTTP/1.1 200 OK", "Content-Length: 0"])
        bench.loop.run()
        #expect(upstream.news() == ["request /a end", "idle", "request /a end"])
        upstream.answer(["HTTP/1.1 200 OK", "Content-Length: 0"])
        #expect(upstream.news() == ["idle", "request /b end"])
        #expect(client.isReading)
        client.receive(String(repeating: "x", count: 1 << 20))
        #expect(!client.wire.isClosed)
        client.receive("x")
        #expect(client.wire.isClosed)
        #expect(bench.hits(.sentAhead) == 1)
        #expect(upstream.news() == ["cancelled: gone"])
    }

    // MARK: Closing

    @Test("a connection closes when everything that was written is with the kernel")
    func closesWhenWritten() throws {
        let (bench, client) = try Self.open()
        client.wire.isFull = true
        client.receive(Self.last)
        bench.pass(.seconds(10))
        #expect(!client.wire.isClosed)
        client.wire.letGo()
        #expect(client.wire.isClosed)
        #expect(client.wire.news().joined().hasPrefix("HTTP/1.1 204"))
    }

    @Test("it does not wait for ever")
    func closesUnwritten() throws {
        let (bench, client) = try Self.open(["mesher.timeouts.stream": "3s"])
        client.wire.isFull = true
        client.receive(Self.last)
        #expect(bench.passes(.seconds(3)) { !client.wire.isClosed })
        #expect(client.wire.isClosed)
        #expect(bench.hits(.clientStallTime) == 1)
    }

    @Test("after an error it reads on for a while, with its sending side closed when everything is written")
    func lingers() throws {
        let (bench, client) = try Self.open(["mesher.timeouts.linger": "2s"])
        client.wire.isFull = true
        client.receive("nonsense\r\n\r\n")
        #expect(!client.wire.isOutputClosed)
        client.wire.letGo()
        #expect(client.wire.news().joined().hasPrefix("HTTP/1.1 400"))
        #expect(client.wire.isOutputClosed)
        client.receive(Self.get)
        #expect(self.begun(bench) == 0)
        #expect(bench.passes(.seconds(2)) { !client.wire.isClosed })
        #expect(client.wire.isClosed)
        #expect(bench.hits(.clientStallTime) == 0)
    }

    @Test("a client that has closed its side after several requests has all of its answers")
    func halfClosed() throws {
        let (bench, client) = try Self.open { _ in .proceed }
        client.receive(Self.get + Self.get)
        client.endInput()
        let upstream = bench.connect()
        for _ in 0..<2 { upstream.answer(["HTTP/1.1 200 OK", "Content-Length: 0"]) }
        bench.loop.run()
        let text = client.wire.news().joined()
        #expect(text.components("HTTP/1.1 200") == 2)
        #expect(text.components("Connection: close") == 1)
        #expect(client.wire.isClosed)
    }

    @Test("a client that is lost ends its call, and the driver comes back")
    func lost() throws {
        let (bench, client) = try Self.open { _ in .proceed }
        client.receive(Self.get)
        let upstream = bench.connect()
        client.channel.close(promise: nil)
        bench.loop.run()
        #expect(upstream.news() == ["request /a end", "cancelled: gone"])
        #expect(bench.outcomes == [.clientFault])
        #expect(bench.worker.clientCount == 0)
    }

    @Test("half a head: 408 in time, and nothing of it is left in the driver when the client goes before")
    func halfHead() throws {
        let (bench, client) = try Self.open(["mesher.timeouts.requestHead": "1s"])
        client.receive("GET /a HTTP/1.1\r\nHost: ca")
        #expect(bench.passes(.seconds(1)) { client.wire.sent.isEmpty })
        #expect(client.wire.news().joined().hasPrefix("HTTP/1.1 408"))
        #expect(bench.hits(.requestHeadTime) == 1)
        let (other, gone) = try Self.open()
        gone.receive("GET /a HTTP/1.1\r\nHost: ca")
        gone.channel.close(promise: nil)
        other.loop.run()
        let driver = other.worker.takeDriver()
        #expect(driver.isIdle)
        #expect(driver.exchange.requestHeaders.lines.isEmpty)
    }
}

extension String {
    /// How often `text` is in it.
    func components(_ text: String) -> Int { self.split(separator: text, omittingEmptySubsequences: false).count - 1 }
}
