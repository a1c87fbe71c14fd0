// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import Testing

@testable import Proxy

/// Connections that serve one request at a time.
@Suite struct ConnectionPoolTests {
    private static let failed = ["reply 502 connect_failed", "ended"]

    @Test("the connection that was used last is taken first, and one that closes is not taken")
    func lastInFirstOut() throws {
        let bench = try Bench()
        let clients = (0..<3).map { _ in bench.begin() }
        let upstreams = (0..<3).map { bench.connect($0) }
        for index in [1, 2, 0] { upstreams[index].answer(["HTTP/1.1 200 OK"]) }
        #expect(clients.map(\.ends) == [1, 1, 1])
        upstreams[0].close()
        #expect(bench.worker.pool.idleCount == 2)
        _ = upstreams.map { $0.news() }
        bench.begin(["GET /b HTTP/1.1"])
        bench.begin(["GET /c HTTP/1.1"])
        #expect(upstreams.map { $0.news() } == [[], ["request /c end"], ["request /b end"]])
        #expect(upstreams[2].idleLimit == nil)
        #expect(bench.worker.pool.idleCount == 0)
        #expect(bench.worker.pool.count == 2)
        #expect(bench.connector.dials.count == 3)
    }

    @Test("a connection whose request was given up waits for the next one")
    func givenUp() throws {
        let bench = try Bench(["mesher.timeouts.upstreamIdle": "7s"])
        bench.begin().event { $0.clientGone() }
        let upstream = bench.connect()
        #expect(upstream.news() == ["idle"])
        #expect(upstream.idleLimit == .seconds(7))
        let client = bench.begin()
        upstream.answer(["HTTP/1.1 200 OK"])
        #expect(client.news() == ["response 200 end", "ended"])
        #expect(bench.connector.dials.count == 1)
    }

    @Test("a connection for a tunnel whose client has left serves nobody else: it is in plain text")
    func givenUpTunnel() throws {
        let bench = try Bench()
        bench.begin(["CONNECT cart:80 HTTP/1.1"]).event { $0.clientGone() }
        let upstream = bench.connect()
        #expect(!upstream.isOpen)
        bench.begin()
        #expect(bench.connector.dials.count == 2)
        #expect(bench.worker.pool.idleCount == 0)
    }

    @Test("what was given up and is not connected disturbs nobody")
    func givenUpAndRefused() throws {
        let bench = try Bench()
        bench.begin().event { $0.clientGone() }
        // The same driver again.
        let client = bench.begin()
        bench.refuse(0)
        #expect(client.news() == [])
        #expect(bench.worker.pool.count == 1)
        bench.connect(1).answer(["HTTP/1.1 200 OK"])
        #expect(client.news() == ["response 200 end", "ended"])
    }

    @Test("no more wait than are allowed: the next is closed, and counted")
    func idleLimit() throws {
        let bench = try Bench()
        for _ in 0..<3 { bench.begin() }
        let upstreams = (0..<3).map { bench.connect($0) }
        bench.worker.event {
            for upstream in upstreams { bench.worker.pool.giveBack(upstream, idle: .seconds(3), most: 2) }
        }
        #expect(upstreams.map(\.isOpen) == [true, true, false])
        #expect(bench.hits(.idleUpstream) == 1)
        #expect(bench.worker.pool.idleCount == 2)
        #expect(bench.worker.pool.count == 2)
        // One that is closed already is not kept.
        upstreams[0].close()
        bench.worker.event { bench.worker.pool.giveBack(upstreams[0], idle: .seconds(3), most: 2) }
        #expect(bench.worker.pool.idleCount == 1)
    }

    @Test("a smaller limit closes the oldest, and a shorter time holds for the others")
    func limitIdle() throws {
        let bench = try Bench()
        for _ in 0..<3 { bench.begin() }
        let upstreams = (0..<3).map { bench.connect($0) }
        for upstream in upstreams { upstream.answer(["HTTP/1.1 200 OK"]) }
        bench.worker.event { bench.worker.pool.limitIdle(to: 2, for: .seconds(4)) }
        #expect(upstreams.map(\.isOpen) == [false, true, true])
        #expect(upstreams.map(\.idleLimit) == [.seconds(15), .seconds(4), .seconds(4)])
        bench.worker.event { bench.worker.pool.limitIdle(to: 0) }
        #expect(upstreams.map(\.isOpen) == [false, false, false])
        #expect(bench.worker.pool.count == 0)
    }

    @Test("a group without connections is forgotten, one with an idle connection is not")
    func emptyGroup() throws {
        let bench = try Bench()
        bench.begin()
        bench.refuse()
        let client = bench.begin()
        #expect(bench.connector.dials[1].group !== bench.connector.dials[0].group)
        let upstream = bench.connect()
        upstream.answer(["HTTP/1.1 200 OK"])
        #expect(client.ends == 1)
        bench.begin()
        bench.begin()
        #expect(bench.connector.dials[2].group === bench.connector.dials[1].group)
        bench.refuse()
        upstream.fail()
        bench.begin()
        #expect(bench.connector.dials[3].group !== bench.connector.dials[1].group)
        #expect(bench.worker.pool.count == 1)
    }

    @Test("two endpoints share nothing")
    func endpoints() throws {
        let bench = try Bench(endpoints: ["rest://10.0.0.1:80", "rest://10.0.0.1:81"])
        bench.begin()
        bench.connect().answer(["HTTP/1.1 200 OK"])
        bench.begin()
        #expect(bench.connector.dials.map(\.group.endpoint.port) == [80, 81])
        #expect(bench.worker.pool.idleCount == 1)
    }

    @Test("an instance that wants TLS is not called in plain text")
    func wantsTLS() throws {
        let bench = try Bench(endpoints: ["rest://10.0.0.1:443?sslEnabled=true"])
        #expect(bench.begin().news() == Self.failed)
        #expect(bench.connector.dials.isEmpty)
    }

    @Test("a shared connection where one request was to be served is not used")
    func sharedForOne() throws {
        let bench = try Bench()
        let client = bench.begin()
        let shared = bench.connectShared()
        #expect(client.news() == Self.failed)
        #expect(shared.isRetired)
        #expect(shared.streams.isEmpty)
    }
}
