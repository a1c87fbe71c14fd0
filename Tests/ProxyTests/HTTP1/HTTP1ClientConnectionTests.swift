// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import NIOEmbedded
import Testing

@testable import Proxy

/// An HTTP/1.1 connection to an upstream, by itself.
@Suite struct HTTP1ClientConnectionTests {
    /// A request whose body goes on, on a connection of its own.
    private static func open() throws -> (bench: Bench, client: FakeClient, upstream: WiredChannel) {
        let bench = try Bench()
        let client = bench.begin(["POST /a HTTP/1.1", "Transfer-Encoding: chunked"], body: "a", isComplete: false)
        let dial = bench.connector.dials[0]
        let connection = HTTP1ClientConnection(worker: bench.worker, group: dial.group)
        let upstream = try WiredChannel(bench, connection)
        dial.then(.success(.single(connection)))
        bench.loop.run()
        upstream.receive("HTTP/1.1 200 OK\r\n\r\nhalf")
        #expect(client.news() == ["response 200 'half'"])
        return (bench, client, upstream)
    }

    @Test("the end of the connection completes an answer that has no other end")
    func endsWithConnection() throws {
        let (bench, client, upstream) = try Self.open()
        upstream.channel.close(promise: nil)
        bench.loop.run()
        #expect(client.news() == ["body end", "ended"])
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
