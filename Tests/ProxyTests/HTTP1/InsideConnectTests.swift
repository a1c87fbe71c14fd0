// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import NIOEmbedded
import Testing

@testable import Proxy

/// What comes inside a CONNECT to a service: HTTP/1.1, HTTP/2, or something that nobody here speaks.
@Suite struct InsideConnectTests {
    private static let get = "GET /a HTTP/1.1\r\nHost: other\r\n\r\n"
    private static let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

    /// A connection on which a CONNECT has just been answered.
    private static func open(
        _ later: @escaping @Sendable (Int) -> Verdict = { _ in .reply(LocalReply(status: 204)) }, isGRPC: Bool = false
    ) throws -> (bench: Bench, client: WiredChannel) {
        let bench = try Bench { $0 == 1 ? .reply(.established) : later($0) }
        let plans = Snapshot(bench.plan, on: bench.loop).reader(for: bench.loop)
        let connection = HTTP1ServerConnection(worker: bench.worker, plans: plans, isGRPC: isGRPC)
        let client = try WiredChannel(bench, connection)
        client.receive("CONNECT cart:80 HTTP/1.1\r\nHost: cart:80\r\n\r\n")
        #expect(client.wire.news() == ["HTTP/1.1 200 Connection established\r\n\r\n"])
        return (bench, client)
    }

    @Test("HTTP/1.1 is served, request after request")
    func http1() throws {
        let (bench, client) = try Self.open()
        client.receive(Self.get)
        client.receive(Self.get)
        #expect(client.wire.news().joined().components("HTTP/1.1 204") == 2)
        #expect(bench.hits(.tunnelProtocol) == 0)
        // The CONNECT itself was no call.
        #expect(bench.count("mesher_errors", ["reason": "internal"]) == 0)
    }

    @Test("a request that was sent together with the CONNECT is served")
    func together() throws {
        let bench = try Bench { $0 == 1 ? .reply(.established) : .reply(LocalReply(status: 204)) }
        let plans = Snapshot(bench.plan, on: bench.loop).reader(for: bench.loop)
        let client = try WiredChannel(bench, HTTP1ServerConnection(worker: bench.worker, plans: plans))
        client.receive("CONNECT cart:80 HTTP/1.1\r\nHost: cart:80\r\n\r\n" + Self.get)
        #expect(client.wire.news().joined().components("HTTP/1.1 204") == 1)
    }

    @Test("a WebSocket is one")
    func webSocket() throws {
        let (bench, client) = try Self.open { _ in .proceed }
        client.receive("GET /ws HTTP/1.1\r\nHost: cart\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        let upstream = bench.connect()
        client.receive("early")
        upstream.tell { driver, number in
            driver.exchange.response.status = 101
            driver.beginTunnel(number)
        }
        client.receive("late")
        #expect(upstream.news() == ["request /ws end", "bytes early", "bytes late"])
        let answer = client.wire.news().joined()
        #expect(answer.hasPrefix("HTTP/1.1 101"))
        #expect(answer.contains("Upgrade: websocket"))
        // CONNECT within is not looked at again.
        client.receive(Self.preface)
        #expect(upstream.news() == ["bytes \(Self.preface)"])
    }

    @Test("HTTP/2 is handed over, however its preface is cut")
    func http2() throws {
        let (bench, client) = try Self.open()
        for byte in Self.preface.utf8 { client.receive(ByteBuffer(bytes: [byte])) }
        let frames = client.wire.bytes()
        // SETTINGS come first.
        #expect(frames.first?.getInteger(at: 3, as: UInt8.self) == 4)
        #expect(!client.wire.isClosed)
        #expect(bench.worker.http2Count == 1)
        #expect(bench.worker.clientCount == 1)
    }

    @Test("TLS, or whatever else, is closed and counted")
    func others() throws {
        for (first, isGRPC) in [([0x16, 3, 1, 2, 0, 1] as [UInt8], false), ([0], false), (Array("GET".utf8), true)] {
            let (bench, client) = try Self.open(isGRPC: isGRPC)
            client.receive(ByteBuffer(bytes: first))
            #expect(client.wire.isClosed)
            #expect(client.wire.news() == [])
            #expect(bench.hits(.tunnelProtocol) == 1)
            #expect(bench.worker.clientCount == 0)
        }
    }

    @Test("what is no HTTP outside of a CONNECT is answered 400 and is none of its kind")
    func outside() throws {
        let bench = try Bench()
        let plans = Snapshot(bench.plan, on: bench.loop).reader(for: bench.loop)
        let client = try WiredChannel(bench, HTTP1ServerConnection(worker: bench.worker, plans: plans))
        client.receive(ByteBuffer(bytes: [0x16, 3, 1, 2, 0, 13, 10, 13, 10]))
        #expect(client.wire.news().joined().hasPrefix("HTTP/1.1 400"))
        #expect(bench.hits(.tunnelProtocol) == 0)
    }
}
