// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import Testing

@testable import Proxy

/// Several tries of one call: nothing of a try is left for the next one, but what the client has sent.
@Suite struct ExchangeDriverRetryTests {
    private static let streams = ["grpc://10.0.0.1:80"]
    private static let call = ["POST /s/m HTTP/1.1", "Content-Type: application/grpc", "Content-Length: 5"]

    @Test("a client that leaves during the back-off cancels nothing of a stranger")
    func goneInBackOff() throws {
        let bench = try Bench(waits: [.milliseconds(100)], failures: [503])
        let client = bench.begin()
        let upstream = bench.connect()
        upstream.answer(["HTTP/1.1 503 Busy"])
        #expect(client.news() == [])
        let stranger = bench.begin(["GET /stranger HTTP/1.1"])
        #expect(upstream.news() == ["request /a end", "idle", "request /stranger end"])
        client.event { $0.clientGone() }
        #expect(client.news() == ["ended"])
        bench.pass(.milliseconds(200))
        #expect(upstream.news() == [])
        upstream.answer(["HTTP/1.1 200 OK"])
        #expect(stranger.news() == ["response 200 end", "ended"])
        #expect(bench.connector.dials.count == 1)
        #expect(bench.outcomes == [.listedStatus, .answered])
    }

    @Test("the back-off is waited for, and the second answer is the call's")
    func backOff() throws {
        let bench = try Bench(
            endpoints: ["rest://10.0.0.1:80", "rest://10.0.0.2:80"], waits: [.milliseconds(100)], failures: [503])
        let client = bench.begin()
        bench.connect().answer(["HTTP/1.1 503 Busy", "x-try: 1"], body: "busy")
        bench.pass(.milliseconds(99))
        #expect(bench.connector.dials.count == 1)
        bench.pass(.milliseconds(1))
        #expect(bench.connector.dials.map(\.group.endpoint.host) == ["10.0.0.1", "10.0.0.2"])
        bench.connect().answer(["HTTP/1.1 200 OK", "x-other: 2"], body: "fine")
        #expect(client.news() == ["response 200 'fine' end", "ended"])
        #expect(client.fields == ["x-other": "2"])
        #expect(bench.outcomes == [.listedStatus, .answered])
        #expect(bench.stage.seen.errors == [nil, nil])
        #expect(bench.count("mesher_retries") == 1)
    }

    @Test("the late connection of try 1 goes to the pool, and try 2 does not take it")
    func lateConnect() throws {
        let bench = try Bench(["mesher.timeouts.firstByte": "2s"], waits: [.zero])
        let client = bench.begin()
        #expect(bench.passes(.seconds(2)) { bench.connector.dials.count == 1 })
        #expect(bench.connector.dials.count == 2)
        let late = bench.connect(0)
        #expect(late.news() == ["idle"])
        #expect(bench.worker.pool.idleCount == 1)
        let wanted = bench.connect(1)
        #expect(wanted.news() == ["request /a end"])
        wanted.answer(["HTTP/1.1 200 OK"])
        #expect(client.news() == ["response 200 end", "ended"])
        #expect(late.news() == [])
    }

    @Test("a late failure to connect of try 1 does not fail try 2")
    func lateConnectFailure() throws {
        let bench = try Bench(["mesher.timeouts.firstByte": "2s"], waits: [.zero])
        let client = bench.begin()
        bench.pass(.milliseconds(2500))
        bench.refuse(0)
        #expect(client.news() == [])
        bench.connect(1).answer(["HTTP/1.1 200 OK"])
        #expect(client.news() == ["response 200 end", "ended"])
    }

    @Test("the gRPC status of try 1 is gone in try 2")
    func grpcStatus() throws {
        let bench = try Bench(endpoints: Self.streams, waits: [.zero], failures: [503])
        let client = bench.begin(Self.call, body: "hello")
        let shared = bench.connectShared()
        shared.stream(0).answer(["HTTP/1.1 200 OK", "grpc-status: 14"])
        #expect(client.news() == [])
        #expect(shared.stream(1).news() == ["request /s/m 'hello' end"])
        shared.stream(1).answer(["HTTP/1.1 200 OK"])
        #expect(client.news() == ["response 200 end", "ended"])
        #expect(client.fields == [:])
        #expect(bench.outcomes == [.listedStatus, .answered])
        #expect(bench.stage.seen.grpcStatuses == [nil, nil])
    }

    @Test("reset code, trailers and fields of try 1 are gone in try 2")
    func leftovers() throws {
        let bench = try Bench(endpoints: Self.streams, waits: [.zero, .zero], failures: [503])
        let client = bench.begin(Self.call, body: "hello")
        let shared = bench.connectShared()
        shared.stream(0).fail(code: 8)
        shared.stream(1).tell { driver, _ in
            var trailers = HeaderBlock()
            trailers.append(HeaderLine("sum", "1"))
            driver.exchange.responseTrailers = consume trailers
        }
        shared.stream(1).answer(["HTTP/1.1 503 Busy", "x-try: 2"])
        shared.stream(2).answer(["HTTP/1.1 200 OK"], isComplete: false)
        #expect(client.news() == ["response 200"])
        #expect(client.fields == [:])
        shared.stream(2).tell { driver, _ in
            let isEmpty = driver.exchange.responseTrailers == nil
            #expect(isEmpty)
        }
        shared.stream(2).fail()
        #expect(client.news() == ["abort", "ended"])
        #expect(bench.outcomes == [.upstreamFailed, .listedStatus, .diedInBody])
    }

    @Test("body and trailers of the request are sent again")
    func requestAgain() throws {
        let bench = try Bench(waits: [.zero], failures: [503])
        let client = bench.begin(["POST /a HTTP/1.1", "Transfer-Encoding: chunked"], body: "ab", isComplete: false)
        let first = bench.connect()
        client.send("cd")
        client.send("ef", trailers: ["sum": "6"], isComplete: true)
        #expect(first.news() == ["request /a 'ab'", "body 'cd'", "body 'ef' end sum=6"])
        first.answer(["HTTP/1.1 503 Busy"])
        let second = bench.connect(1)
        #expect(second.news() == ["request /a 'abcdef' end sum=6"])
        second.answer(["HTTP/1.1 200 OK"])
        #expect(client.news() == ["response 200 end", "ended"])
    }

    @Test("a body of which more was sent than is kept is not sent again by what the pool has lost")
    func largeBody() throws {
        let bench = try Bench()
        let part = String(repeating: "x", count: 40_000)
        let client = bench.begin(["PUT /a HTTP/1.1", "Transfer-Encoding: chunked"], body: part, isComplete: false)
        let upstream = bench.connect()
        client.send(part, isComplete: true)
        #expect(bench.hits(.replayedBody) == 1)
        upstream.fail(wasReused: true, wasSent: false)
        #expect(client.news() == ["reply 502 upstream_reset", "ended"])
        #expect(bench.connector.dials.count == 1)
    }

    @Test("what a peer sidecar could not serve is sent again, also POST, and the client never sees the field")
    func unserved() throws {
        let bench = try Bench(waits: [.zero])
        let head = ["POST /a HTTP/1.1", "Content-Length: 5"]
        let client = bench.begin(head, body: "hello")
        bench.connect().answer(["HTTP/1.1 502 Bad", "x-mesher-unserved: 1"])
        #expect(bench.stage.seen.failures == [.connectFailed])
        let second = bench.connect(1)
        #expect(second.news() == ["request /a 'hello' end"])
        second.answer(["HTTP/1.1 502 Bad", "x-mesher-unserved: 1", "x-b: 1"])
        #expect(client.news() == ["response 502 end", "ended"])
        #expect(client.fields == ["x-b": "1"])
        #expect(bench.outcomes == [.connectFailed, .connectFailed])
        // The application's word is none.
        let incoming = try Bench([:], .incoming, waits: [.zero])
        let other = incoming.begin(head, body: "hello")
        incoming.connect().answer(["HTTP/1.1 200 OK", "x-mesher-unserved: 1"])
        #expect(other.news() == ["response 200 end", "ended"])
        #expect(incoming.outcomes == [.answered])
    }
}
