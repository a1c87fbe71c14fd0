// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import NIOEmbedded
import Testing

@testable import Proxy

/// An HTTP/2 client's connection: windows, deadlines, streams that are used again.
@Suite struct HTTP2ServerConnectionTests {
    /// A connection that has said its settings, and was told ours without acknowledging them.
    private static func open(
        _ values: [String: String] = [:], verdict: @escaping @Sendable (Int) -> Verdict = { _ in .proceed }
    ) throws -> (bench: Bench, client: WiredChannel, connection: HTTP2ServerConnection) {
        let bench = try Bench(values, verdict: verdict)
        let plans = Snapshot(bench.plan, on: bench.loop).reader(for: bench.loop)
        let connection = HTTP2ServerConnection(worker: bench.worker, plans: plans, isGRPC: false)
        let client = try WiredChannel(bench, connection)
        client.receive(Frames.preface + Frames.settings)
        #expect(client.frames().first == "SETTINGS")
        return (bench, client, connection)
    }

    // MARK: Windows

    private static let small = ["mesher.limits.http2StreamWindow": "16384"]

    @Test("a client that has not acknowledged a smaller window may fill the one that everybody begins with")
    func beforeAcknowledgement() throws {
        let (_, client, _) = try Self.open(Self.small)
        client.receive(Frames.post(1))
        client.receive(Frames.data(1, count: HTTP2.initialWindow))
        #expect(client.frames() == [])
        client.receive(Frames.data(1, "x"))
        #expect(client.frames() == ["RST_STREAM 1 flowControlError"])
    }

    @Test("one that has may fill the smaller one")
    func afterAcknowledgement() throws {
        let (_, client, _) = try Self.open(Self.small)
        client.receive(Frames.settingsAck)
        client.receive(Frames.post(1))
        client.receive(Frames.data(1, count: 16_384))
        #expect(client.frames() == [])
        client.receive(Frames.data(1, "x"))
        #expect(client.frames() == ["RST_STREAM 1 flowControlError"])
    }

    @Test("what was sent before the acknowledgement is no mistake; what is sent behind it counts against the rest")
    func acrossAcknowledgement() throws {
        let (bench, client, _) = try Self.open(Self.small)
        for id in [1, 3, 5] as [UInt32] { client.receive(Frames.post(id)) }
        client.receive(Frames.data(1, count: 20_000))
        client.receive(Frames.data(3, count: 10_000))
        client.receive(Frames.data(5, count: 20_000))
        client.receive(Frames.settingsAck)
        // A second one changes nothing.
        client.receive(Frames.settingsAck)
        #expect(client.frames() == [])
        // 20,000 of 16,384 are used: not one byte more.
        client.receive(Frames.data(1, "x"))
        #expect(client.frames() == ["RST_STREAM 1 flowControlError"])
        client.receive(Frames.data(3, count: 6384))
        #expect(client.frames() == [])
        client.receive(Frames.data(3, "x"))
        #expect(client.frames() == ["RST_STREAM 3 flowControlError"])
        // What its upstream has taken is given back, and is 16,384 again.
        let upstream = bench.connect(2)
        #expect(upstream.news().count == 1)
        bench.loop.run()
        #expect(client.frames() == ["WINDOW_UPDATE 5 20000"])
        client.event(bench) { upstream.takesMore = false }
        client.receive(Frames.data(5, count: 16_384))
        #expect(client.frames() == [])
        client.receive(Frames.data(5, "x"))
        #expect(client.frames() == ["RST_STREAM 5 flowControlError"])
    }

    @Test("a larger window holds for streams that were open before it was acknowledged")
    func largerWindow() throws {
        let (_, client, _) = try Self.open(["mesher.limits.http2StreamWindow": "100000"])
        client.receive(Frames.post(1))
        client.receive(Frames.data(1, count: 60_000))
        client.receive(Frames.settingsAck)
        client.receive(Frames.data(1, count: 40_000))
        #expect(client.frames() == [])
        client.receive(Frames.data(1, "x"))
        #expect(client.frames() == ["RST_STREAM 1 flowControlError"])
    }

    // MARK: Deadlines

    @Test("a farewell does not give a header block more time, nor does a block hold up the farewell")
    func farewellAndBlock() throws {
        let (bench, client, _) = try Self.open(["mesher.timeouts.requestHead": "10s"])
        client.receive(Frames.post(1))
        client.receive(Frames.post(3, endHeaders: false))
        bench.pass(.seconds(5))
        bench.worker.closeIdleConnections(.outgoing)
        bench.loop.run()
        #expect(client.frames() == ["GOAWAY - noError", "PING"])
        bench.pass(.milliseconds(999))
        #expect(client.frames() == [])
        bench.pass(.milliseconds(501))
        #expect(client.frames() == ["GOAWAY 1 noError"])
        bench.pass(.milliseconds(3499))
        #expect(client.frames() == [])
        bench.pass(.milliseconds(501))
        #expect(client.frames() == ["GOAWAY 1 enhanceYourCalm"])
        #expect(bench.outcomes == [.clientFault])
    }

    @Test("a block that is complete has no deadline, and the farewell keeps its own")
    func completeBlock() throws {
        let (bench, client, _) = try Self.open(["mesher.timeouts.requestHead": "10s"])
        client.receive(Frames.post(1))
        client.receive(Frames.post(3, endHeaders: false))
        bench.pass(.milliseconds(9500))
        bench.worker.closeIdleConnections(.outgoing)
        client.receive(Frames.frame(.continuation, HTTP2Flags.endHeaders, stream: 3))
        #expect(client.frames() == ["GOAWAY - noError", "PING"])
        bench.pass(.milliseconds(999))
        #expect(client.frames() == [])
        bench.pass(.milliseconds(501))
        #expect(client.frames() == ["GOAWAY 3 noError"])
        bench.pass(.seconds(10))
        #expect(client.frames() == [])
        // Both are served all the same, and then it closes.
        for index in 0..<2 { bench.connect(index).answer(["HTTP/1.1 200 OK"]) }
        bench.loop.run()
        #expect(client.wire.isOutputClosed)
    }

    @Test("the client's answer to the farewell ends it at once, and later streams are not served")
    func farewellAnswered() throws {
        let (bench, client, _) = try Self.open()
        client.receive(Frames.post(1))
        bench.worker.closeIdleConnections(.outgoing)
        client.receive(Frames.frame(.ping, HTTP2Flags.ack, payload: [0, 0, 0, 0, 0, 0, 0, 0]))
        #expect(client.frames() == ["GOAWAY - noError", "PING", "GOAWAY 1 noError"])
        client.receive(Frames.get(3))
        #expect(bench.connector.dials.count == 1)
        bench.pass(.seconds(2))
        #expect(client.frames() == [])
    }

    // MARK: Streams

    @Test("a stream is used again, by one request at a time, however the one before has ended")
    func recycled() throws {
        let (bench, client, connection) = try Self.open { $0 == 1 ? .reply(LocalReply(status: 204)) : .proceed }
        client.receive(Frames.get(1))
        #expect(client.frames() == ["HEADERS 1 end"])
        // Reset by us, by the client, and by the end of its call.
        client.receive(Frames.post(3, length: 1) + Frames.data(3, "xx"))
        client.receive(Frames.get(5) + Frames.frame(.resetStream, stream: 5, payload: [0, 0, 0, 8]))
        client.receive(Frames.get(7))
        let upstream = bench.connect(2)
        upstream.answer(["HTTP/1.1 200 OK"], body: "a", isComplete: false)
        upstream.fail()
        bench.loop.run()
        #expect(
            client.frames() == ["RST_STREAM 3 protocolError", "HEADERS 7", "DATA 7 'a'", "RST_STREAM 7 internalError"])
        let ids = [9, 11, 13, 15] as [UInt32]
        for id in ids { client.receive(Frames.get(id)) }
        let streams = ids.compactMap { connection.streams[id: $0] }
        #expect(Set(streams.map { ObjectIdentifier($0) }).count == 4)
        let drivers = streams.compactMap { ($0 as? HTTP2ServerStream)?.driver }
        #expect(Set(drivers.map { ObjectIdentifier($0) }).count == 4)
        let first = bench.connector.dials.count - 4
        for index in [2, 0, 3, 1] { bench.connect(first + index).answer(["HTTP/1.1 200 OK"], body: "\(ids[index])") }
        bench.loop.run()
        let data = client.frames().filter { $0.hasPrefix("DATA") }
        #expect(data == [13, 9, 15, 11].map { "DATA \($0) '\($0)' end" })
        #expect(connection.streams.count == 0)
    }

    @Test("a connection that is lost ends each of its calls once")
    func lost() throws {
        let (bench, client, connection) = try Self.open()
        for id in [1, 3, 5] as [UInt32] { client.receive(Frames.get(id)) }
        let upstream = bench.connect(1)
        client.channel.close(promise: nil)
        bench.loop.run()
        #expect(upstream.news() == ["request /3 end", "cancelled: gone"])
        #expect(bench.outcomes == [.clientFault, .clientFault, .clientFault])
        #expect(connection.streams.count == 0)
        #expect(bench.worker.clientCount == 0)
        // Three drivers, and each of them once.
        let drivers = (0..<4).map { _ in ObjectIdentifier(bench.worker.takeDriver()) }
        #expect(Set(drivers).count == 4)
    }
}

extension WiredChannel {
    /// Changes something inside an event of the loop.
    fileprivate func event(_ bench: Bench, _ body: () -> Void) { bench.worker.event(body) }
}
