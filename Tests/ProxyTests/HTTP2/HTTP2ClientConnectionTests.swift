// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import NIOEmbedded
import Testing

@testable import Proxy

/// An HTTP/2 connection to an upstream: signs of life, what was not looked at, streams that are used again.
@Suite struct HTTP2ClientConnectionTests {
    private static let patient = ["mesher.timeouts.http2Ping": "20s", "mesher.timeouts.firstByte": "1h"]

    /// A bench whose first request, `/0`, has opened a connection.
    private struct Opened {
        let bench: Bench
        let client: FakeClient
        let upstream: WiredChannel
        let connection: HTTP2ClientConnection
    }

    private static func open(_ values: [String: String] = [:], settings: ByteBuffer? = Frames.settings) throws -> Opened
    {
        let bench = try Bench(values, endpoints: ["grpc://10.0.0.1:80"])
        let client = bench.begin(["GET /0 HTTP/1.1"])
        let dial = bench.connector.dials[0]
        let connection = HTTP2ClientConnection(
            worker: bench.worker, group: dial.group, settings: bench.plan.settings, isSecure: false)
        let upstream = try WiredChannel(bench, connection)
        dial.then(.success(.shared(connection)))
        bench.loop.run()
        #expect(upstream.frames() == ["SETTINGS", "WINDOW_UPDATE 0 983041", "HEADERS 1 end"])
        if let settings {
            upstream.receive(settings)
            #expect(upstream.frames() == ["SETTINGS ack"])
        }
        return Opened(bench: bench, client: client, upstream: upstream, connection: connection)
    }

    // MARK: Signs of life

    @Test("an upstream that is silent while a call is under way is asked, and given up when it stays so")
    func silent() throws {
        let opened = try Self.open(Self.patient)
        #expect(opened.bench.passes(.seconds(20)) { opened.upstream.wire.sent.isEmpty })
        #expect(opened.upstream.frames() == ["PING"])
        // It went out within the half second that a deadline may be late.
        #expect(opened.bench.passes(.milliseconds(9500)) { opened.client.events.isEmpty })
        opened.bench.pass(.milliseconds(500))
        #expect(opened.client.news() == ["reply 502 upstream_reset", "ended"])
        #expect(opened.bench.hits(.http2PingTime) == 1)
        #expect(opened.upstream.wire.isOutputClosed)
        #expect(opened.bench.worker.pool.count == 0)
        opened.bench.pass(.seconds(2))
        #expect(opened.upstream.wire.isClosed)
    }

    @Test("one that answers, or says anything else, is asked again after as long a silence", arguments: [true, false])
    func alive(answers: Bool) throws {
        let opened = try Self.open(Self.patient)
        opened.bench.pass(.milliseconds(20_500))
        #expect(opened.upstream.frames() == ["PING"])
        opened.bench.pass(.seconds(5))
        let sign =
            answers
            ? Frames.frame(.ping, HTTP2Flags.ack, payload: Array("mesher??".utf8))
            : Frames.frame(.windowUpdate, payload: [0, 0, 0, 1])
        opened.upstream.receive(sign)
        opened.bench.pass(.milliseconds(19_900))
        #expect(opened.upstream.frames() == [])
        #expect(opened.client.news() == [])
        opened.bench.pass(.milliseconds(700))
        #expect(opened.upstream.frames() == ["PING"])
        #expect(opened.bench.hits(.http2PingTime) == 0)
    }

    @Test("one that talks is not asked, and one without calls neither")
    func notAsked() throws {
        let opened = try Self.open(Self.patient.merging(["mesher.timeouts.upstreamIdle": "1h"]) { $1 })
        opened.upstream.receive(Frames.headers(1, [":status": "200"]))
        for _ in 0..<5 {
            opened.bench.pass(.seconds(15))
            opened.upstream.receive(Frames.data(1, "a"))
        }
        #expect(opened.upstream.frames() == [])
        opened.upstream.receive(Frames.data(1, "b", endStream: true))
        opened.bench.pass(.seconds(60))
        #expect(opened.upstream.frames() == [])
        #expect(opened.client.news().last == "ended")
        #expect(!opened.upstream.wire.isOutputClosed)
        // The next call has the whole time again.
        opened.bench.begin()
        opened.bench.pass(.seconds(19))
        #expect(opened.upstream.frames() == ["HEADERS 3 end"])
        opened.bench.pass(.milliseconds(1600))
        #expect(opened.upstream.frames() == ["PING"])
    }

    // MARK: What was not looked at

    @Test("GOAWAY: streams behind its last one go elsewhere, those before it are finished, and then it closes")
    func goAway() throws {
        let opened = try Self.open()
        let second = opened.bench.begin(["POST /1 HTTP/1.1"])
        opened.bench.loop.run()
        #expect(opened.upstream.frames() == ["HEADERS 3 end"])
        opened.upstream.receive(Frames.frame(.goAway, payload: [0, 0, 0, 1, 0, 0, 0, 0]))
        // POST as well: nobody has looked at it.
        #expect(second.news() == [])
        #expect(opened.bench.connector.dials.count == 2)
        let other = opened.bench.connectShared()
        #expect(other.streams.map { $0.news() } == [["request /1 end"]])
        opened.upstream.receive(Frames.answer(1, "a"))
        #expect(opened.client.news() == ["response 200", "body 'a' end", "ended"])
        #expect(opened.upstream.wire.isOutputClosed)
    }

    @Test("REFUSED_STREAM is sent again, another code is not")
    func reset() throws {
        let opened = try Self.open()
        opened.upstream.receive(Frames.frame(.resetStream, stream: 1, payload: [0, 0, 0, 7]))
        #expect(opened.upstream.frames() == ["HEADERS 3 end"])
        #expect(opened.client.news() == [])
        opened.upstream.receive(Frames.frame(.resetStream, stream: 3, payload: [0, 0, 0, 2]))
        #expect(opened.client.news() == ["reply 502 upstream_reset", "ended"])
        #expect(opened.upstream.frames() == [])
    }

    @Test("an upstream that was lost before its settings has not looked at anything")
    func lostBeforeSettings() throws {
        let opened = try Self.open(settings: nil)
        // Until it says how much it takes, one request may go ahead.
        let waiting = opened.bench.begin(["GET /1 HTTP/1.1"])
        #expect(opened.bench.connector.dials.count == 1)
        opened.upstream.channel.close(promise: nil)
        opened.bench.loop.run()
        #expect(opened.client.news() == [])
        #expect(waiting.news() == [])
        let other = opened.bench.connectShared()
        #expect(Set(other.streams.flatMap { $0.news() }) == ["request /0 end", "request /1 end"])
    }

    @Test("what is read inside a write that fails came before the end")
    func readInsideWrite() throws {
        let opened = try Self.open()
        let second = opened.bench.begin(["POST /1 HTTP/1.1"])
        let (channel, wire) = (opened.upstream.channel, opened.upstream.wire)
        wire.onWrite = {
            wire.onWrite = {}
            channel.pipeline.fireChannelRead(
                Frames.answer(1, "a") + Frames.frame(.goAway, payload: [0, 0, 0, 1, 0, 0, 0, 0]))
            channel.close(promise: nil)
        }
        opened.bench.loop.run()
        #expect(opened.client.news() == ["response 200", "body 'a' end", "ended"])
        // Nobody has looked at the other one.
        #expect(second.news() == [])
        #expect(opened.bench.connectShared().streams.map { $0.news() } == [["request /1 end"]])
    }

    @Test("what is read there and broken ends it, and what is behind is not looked at")
    func brokenInsideWrite() throws {
        let opened = try Self.open()
        let (channel, wire) = (opened.upstream.channel, opened.upstream.wire)
        let second = opened.bench.begin(["POST /1 HTTP/1.1"])
        wire.onWrite = {
            wire.onWrite = {}
            channel.pipeline.fireChannelRead(Frames.data(0, "on no stream") + Frames.answer(1, "a"))
            channel.close(promise: nil)
        }
        opened.bench.loop.run()
        #expect(second.news() == ["reply 502 upstream_reset", "ended"])
        // GET may be sent once more, and is.
        #expect(opened.client.news() == [])
        #expect(opened.bench.connectShared().streams.map { $0.news() } == [["request /0 end"]])
    }

    // MARK: Streams

    @Test("a stream is used again, by one request at a time, however the one before has ended")
    func recycled() throws {
        let opened = try Self.open()
        let bench = opened.bench
        // Answered; cancelled, and what comes late for it; reset; broken.
        opened.upstream.receive(Frames.answer(1, "a"))
        bench.begin().event { $0.clientGone() }
        opened.upstream.receive(
            Frames.answer(3, "late") + Frames.frame(.resetStream, stream: 3, payload: [0, 0, 0, 8]))
        bench.begin()
        opened.upstream.receive(Frames.frame(.resetStream, stream: 5, payload: [0, 0, 0, 2]))
        bench.begin()
        opened.upstream.receive(Frames.data(7, "no head"))
        #expect(
            opened.upstream.frames() == [
                "HEADERS 3 end", "RST_STREAM 3 cancel", "HEADERS 5 end", "HEADERS 7 end", "RST_STREAM 7 protocolError",
            ])
        let clients = (0..<4).map { bench.begin(["GET /\($0) HTTP/1.1"]) }
        bench.loop.run()
        let ids = [9, 11, 13, 15] as [UInt32]
        #expect(opened.upstream.frames() == ids.map { "HEADERS \($0) end" })
        #expect(Set(ids.compactMap { opened.connection.streams[id: $0].map { ObjectIdentifier($0) } }).count == 4)
        for id in [13, 9, 15, 11] as [UInt32] { opened.upstream.receive(Frames.answer(id, "\(id)")) }
        #expect(clients.map { $0.news() } == ids.map { ["response 200", "body '\($0)' end", "ended"] })
        #expect(opened.connection.streams.count == 0)
    }

    @Test("the request's trailers are there for another try")
    func trailers() throws {
        let opened = try Self.open()
        let client = opened.bench.begin(
            ["POST /1 HTTP/1.1", "Transfer-Encoding: chunked"], body: "a", isComplete: false)
        client.send("b", trailers: ["sum": "2"], isComplete: true)
        opened.bench.loop.run()
        #expect(
            opened.upstream.frames() == ["HEADERS 3", "DATA 3 'a'", "DATA 3 'b'", "HEADERS 3 end"])
        opened.upstream.receive(Frames.frame(.resetStream, stream: 3, payload: [0, 0, 0, 7]))
        #expect(opened.upstream.frames() == ["HEADERS 5", "DATA 5 'ab'", "HEADERS 5 end"])
    }
}
