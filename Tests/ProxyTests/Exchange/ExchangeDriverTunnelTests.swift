// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import Testing

@testable import Proxy

/// Tunnels: in order, each way by itself, and over when both ways are.
@Suite struct ExchangeDriverTunnelTests {
    private static let connect = ["CONNECT cart:80 HTTP/1.1"]
    private static let webSocket = ["GET /ws HTTP/1.1", "Connection: Upgrade", "Upgrade: websocket"]

    /// A CONNECT that leads to a connection.
    private func open(_ bench: Bench) -> (client: FakeClient, upstream: FakeUpstream) {
        let client = bench.begin(Self.connect)
        let upstream = bench.connect()
        _ = (client.news(), upstream.news())
        return (client, upstream)
    }

    private func send(_ text: String, _ client: FakeClient) {
        client.event { $0.tunnelFromDownstream(ByteBuffer(string: text)) }
    }

    @Test("bytes and FIN that come before the 200 are passed on in order")
    func early() throws {
        let bench = try Bench()
        let client = bench.begin(Self.connect)
        client.unread = ByteBuffer(string: "c")
        self.send("a", client)
        self.send("b", client)
        client.event { $0.tunnelInputClosed() }
        #expect(client.news() == ["stops reading"])
        let upstream = bench.connect()
        #expect(upstream.news() == ["tunnel", "bytes ab", "bytes c", "output ended"])
        #expect(client.news() == ["tunnel 200", "reads"])
        upstream.tell { $0.tunnelFromUpstream($1, ByteBuffer(string: "d")) }
        upstream.tell { $0.tunnelOutputEnded($1) }
        #expect(client.news() == ["bytes d", "output ended", "ended"])
        #expect(upstream.news() == [])
        #expect(bench.outcomes == [.answered])
    }

    @Test("a tunnel takes a connection of its own")
    func ownConnection() throws {
        let bench = try Bench()
        bench.begin()
        bench.connect().answer(["HTTP/1.1 200 OK"])
        #expect(bench.worker.pool.idleCount == 1)
        let (client, upstream) = self.open(bench)
        guard case .plain = bench.connector.dials[1].kind else {
            Issue.record("CONNECT takes a plain connection")
            return
        }
        #expect(upstream.ticket != nil)
        client.event { $0.clientGone() }
        #expect(bench.worker.pool.idleCount == 1)
    }

    @Test("an upstream that is gone already, or is no tunnel: 502")
    func lost() throws {
        let bench = try Bench()
        let client = bench.begin(Self.connect)
        let dial = bench.connector.dials[0]
        let upstream = FakeUpstream(bench.worker, dial.group)
        upstream.isLost = true
        dial.then(.success(.single(upstream)))
        #expect(client.news() == ["reply 502 connect_failed", "ended"])
        #expect(bench.outcomes == [.connectFailed])
    }

    @Test("each way ends by itself, and the call with the second, whichever that is", arguments: [true, false])
    func bothEnds(isClientFirst: Bool) throws {
        let bench = try Bench()
        let (client, upstream) = self.open(bench)
        if isClientFirst {
            client.event { $0.tunnelInputClosed() }
            #expect(upstream.news() == ["output ended"])
            upstream.tell { $0.tunnelFromUpstream($1, ByteBuffer(string: "a")) }
            upstream.tell { $0.tunnelOutputEnded($1) }
            #expect(client.news() == ["bytes a", "output ended", "ended"])
        } else {
            upstream.tell { $0.tunnelOutputEnded($1) }
            #expect(client.news() == ["output ended"])
            self.send("a", client)
            client.event { $0.tunnelInputClosed() }
            #expect(upstream.news() == ["bytes a", "output ended"])
            #expect(client.news() == ["ended"])
        }
        // What is written still goes out: nothing is cancelled.
        #expect(upstream.isOpen)
        #expect(bench.outcomes == [.answered])
    }

    @Test("an upstream that is reset in the middle has died; closed, or after one end, it has answered")
    func upstreamLost() throws {
        let bench = try Bench()
        let (first, broken) = self.open(bench)
        broken.tell { $0.tunnelLost($1, isBroken: true) }
        #expect(first.news() == ["abort", "ended"])
        let (second, closed) = self.open(bench)
        closed.tell { $0.tunnelLost($1, isBroken: false) }
        #expect(second.news() == ["output ended", "ended"])
        let (third, ending) = self.open(bench)
        ending.tell { $0.tunnelOutputEnded($1) }
        ending.tell { $0.tunnelLost($1, isBroken: true) }
        #expect(third.news() == ["output ended", "ended"])
        #expect(bench.outcomes == [.diedInBody, .answered, .answered])
    }

    @Test("a client that goes in the middle is at fault; after one end it has said that it is done")
    func clientGone() throws {
        let bench = try Bench()
        let (first, cut) = self.open(bench)
        first.event { $0.clientGone() }
        #expect(cut.news() == ["cancelled: gone"])
        let (second, ended) = self.open(bench)
        ended.tell { $0.tunnelOutputEnded($1) }
        second.event { $0.clientGone() }
        #expect(ended.news() == ["cancelled: gone"])
        #expect(bench.outcomes == [.clientFault, .answered])
    }

    @Test("a tunnel in which nothing moves ends, and is no failure")
    func silent() throws {
        let bench = try Bench(["mesher.timeouts.tunnel": "4s"])
        let (client, upstream) = self.open(bench)
        bench.pass(.milliseconds(3900))
        self.send("a", client)
        bench.pass(.milliseconds(3900))
        upstream.tell { $0.tunnelFromUpstream($1, ByteBuffer(string: "b")) }
        _ = client.news()
        #expect(bench.passes(.seconds(4)) { client.events.isEmpty })
        #expect(client.news() == ["abort", "ended"])
        #expect(upstream.news() == ["bytes a", "cancelled: gone"])
        #expect(bench.outcomes == [.answered])
        #expect(bench.hits(.tunnelTime) == 1)
    }

    @Test("each side is read only while the other one takes what comes")
    func backPressure() throws {
        let bench = try Bench()
        let (client, upstream) = self.open(bench)
        upstream.takesMore = false
        self.send("a", client)
        #expect(client.news() == ["stops reading"])
        upstream.tell { $0.upstreamWritable($1, true) }
        #expect(client.news() == ["reads"])
        client.takesMore = false
        upstream.tell { $0.tunnelFromUpstream($1, ByteBuffer(string: "b")) }
        #expect(upstream.news() == ["bytes a", "stops reading"])
        client.event { $0.downstreamWritable(true) }
        #expect(upstream.news() == ["reads"])
    }

    @Test("a WebSocket: what the client has sent ahead, and its FIN, go through it")
    func webSocket() throws {
        let bench = try Bench()
        let client = bench.begin(Self.webSocket)
        client.unread = ByteBuffer(string: "early")
        let upstream = bench.connect()
        client.event { $0.clientHalfClosed() }
        upstream.tell { driver, number in
            driver.exchange.response.status = 101
            driver.beginTunnel(number)
        }
        #expect(client.news() == ["tunnel 101"])
        #expect(upstream.news() == ["request /ws end", "bytes early", "output ended"])
        // The grace of a client that has left is none of a tunnel's.
        bench.pass(.seconds(10))
        upstream.tell { $0.tunnelOutputEnded($1) }
        #expect(client.news() == ["output ended", "ended"])
        #expect(bench.outcomes == [.answered])
    }

    @Test("a WebSocket that its upstream refuses is answered like any request")
    func refusedWebSocket() throws {
        let bench = try Bench()
        let client = bench.begin(Self.webSocket)
        bench.connect().answer(["HTTP/1.1 403 No"], body: "no")
        #expect(client.news() == ["response 403 'no' end", "ended"])
        #expect(bench.worker.pool.idleCount == 1)
    }
}
