// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import NIOEmbedded
import Testing

@testable import Proxy

/// An HTTP/1.1 connection to an upstream, by itself.
@Suite struct HTTP1ClientConnectionTests {
    /// A request whose body goes on, on a connection of its own.
    ///
    /// - Parameter answer: What has come of the answer already.
    private static func open(
        answer: String? = "HTTP/1.1 200 OK\r\n\r\nhalf"
    ) throws -> (bench: Bench, client: FakeClient, upstream: WiredChannel) {
        let bench = try Bench()
        let client = bench.begin(["POST /a HTTP/1.1", "Transfer-Encoding: chunked"], body: "a", isComplete: false)
        let dial = bench.connector.dials[0]
        let connection = HTTP1ClientConnection(worker: bench.worker, group: dial.group)
        let upstream = try WiredChannel(bench, connection)
        dial.then(.success(.single(connection)))
        bench.loop.run()
        if let answer {
            upstream.receive(answer)
            #expect(client.news() == ["response 200 'half'"])
        }
        return (bench, client, upstream)
    }

    @Test("the orderly end of the connection completes an answer that has no other end")
    func endsWithConnection() throws {
        let (bench, client, upstream) = try Self.open()
        upstream.endInput()
        bench.loop.run()
        #expect(client.news() == ["body end", "ended"])
        #expect(upstream.wire.isClosed)
    }

    @Test("a connection that is lost without one has cut it, whoever has noticed")
    func isLost() throws {
        let (bench, client, upstream) = try Self.open()
        // As when a write of the channel's own fails: no error is told.
        upstream.channel.close(promise: nil)
        bench.loop.run()
        #expect(client.news() == ["abort", "ended"])
    }

    @Test("head and body that are read inside a write that fails are no whole answer")
    func headInWrite() throws {
        let (_, client, upstream) = try Self.open(answer: nil)
        upstream.wire.onWrite = {
            upstream.wire.onWrite = {}
            upstream.channel.pipeline.fireChannelRead(ByteBuffer(string: "HTTP/1.1 200 OK\r\n\r\nsome"))
            upstream.channel.close(promise: nil)
        }
        client.send("b")
        #expect(client.news().last == "ended" && !client.news().contains("body end"))
    }

    @Test("an end inside a write that fails is none: what was read in it is passed on, and the answer is cut")
    func failsInWrite() throws {
        let (_, client, upstream) = try Self.open()
        upstream.wire.onWrite = {
            upstream.wire.onWrite = {}
            upstream.channel.pipeline.fireChannelRead(ByteBuffer(string: " of it"))
            upstream.channel.close(promise: nil)
        }
        client.send("b")
        #expect(client.news() == ["body ' of it'", "abort", "ended"])
    }
}
