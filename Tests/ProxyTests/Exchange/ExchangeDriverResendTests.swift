// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import Testing

@testable import Proxy

/// What goes out once more although no stage has asked for it: a connection had gone stale, or nobody has looked.
@Suite struct ExchangeDriverResendTests {
    @Test("a request that a stale connection has lost goes out once more, on a fresh one")
    func stale() throws {
        let bench = try Bench()
        let client = bench.begin()
        let stale = bench.connect()
        // Another one waits in the pool, and is not taken.
        let other = bench.begin()
        let waiting = bench.connect()
        waiting.answer(["HTTP/1.1 200 OK"])
        #expect(other.ends == 1)
        bench.pass(.milliseconds(1000))
        stale.fail(wasReused: true)
        #expect(client.news() == [])
        #expect(bench.connector.dials.count == 3)
        let fresh = bench.connect()
        #expect(fresh.news() == ["request /a end"])
        // Only once.
        fresh.fail(wasReused: true)
        #expect(client.news() == ["reply 502 upstream_reset", "ended"])
        #expect(bench.connector.dials.count == 3)
        // One finish for the call, not one for each sending: no stage has been asked again.
        #expect(bench.outcomes == [.answered, .upstreamFailed])
    }

    @Test("what fails later than a second after sending has been looked at")
    func tooLate() throws {
        let bench = try Bench()
        bench.pass(.seconds(7))
        let client = bench.begin()
        let upstream = bench.connect()
        bench.pass(.milliseconds(1001))
        upstream.fail(wasReused: true)
        #expect(client.news() == ["reply 502 upstream_reset", "ended"])
        #expect(bench.connector.dials.count == 1)
    }

    @Test(
        "what might be executed twice is not sent twice",
        arguments: [(["POST /a HTTP/1.1"], nil), (["PUT /a HTTP/1.1", "Content-Length: 2"], "ab")]
            as [([String], String?)])
    func unsafe(head: [String], body: String?) throws {
        let bench = try Bench()
        let client = bench.begin(head, body: body)
        bench.connect().fail(wasReused: true)
        #expect(client.news() == ["reply 502 upstream_reset", "ended"])
        #expect(bench.connector.dials.count == 1)
    }

    @Test("a connection that has served nobody before is not stale")
    func fresh() throws {
        let bench = try Bench()
        let client = bench.begin()
        bench.connect().fail(wasReused: false)
        #expect(client.news() == ["reply 502 upstream_reset", "ended"])
    }

    @Test("what goes out once more is bounded by the service's budget")
    func budget() throws {
        let bench = try Bench()
        var resent = 0
        for _ in 0..<105 {
            let before = bench.connector.dials.count
            let client = bench.begin()
            bench.connect().fail(wasReused: true)
            guard bench.connector.dials.count == before + 2 else {
                #expect(client.news() == ["reply 502 upstream_reset", "ended"])
                continue
            }
            resent += 1
            let fresh = bench.connect()
            fresh.answer(["HTTP/1.1 200 OK", "connection: close"])
            fresh.close()
            #expect(client.news() == ["response 200 end", "ended"])
        }
        // Ten a second, averaged over ten.
        #expect(resent == 100)
        #expect(bench.hits(.retryBudget) == 5)
        bench.pass(.seconds(12))
        let client = bench.begin()
        bench.connect().fail(wasReused: true)
        #expect(client.news() == [])
        client.event { $0.clientGone() }
    }

    @Test("who says that he has not looked is believed three times for one call, whatever the method")
    func refused() throws {
        let bench = try Bench(endpoints: ["grpc://10.0.0.1:80"])
        let client = bench.begin(["POST /s/m HTTP/1.1", "Content-Length: 5"], body: "hello")
        let shared = bench.connectShared()
        for number in 0..<4 {
            #expect(shared.streams.count == number + 1)
            #expect(shared.stream(number).news() == ["request /s/m 'hello' end"])
            #expect(client.news() == [])
            // Long after the request was sent: nobody has looked all the same.
            bench.pass(.seconds(2))
            shared.stream(number).fail(wasReused: true, wasSent: false)
        }
        #expect(shared.streams.count == 4)
        #expect(client.news() == ["reply 502 upstream_reset", "ended"])
        #expect(bench.outcomes == [.upstreamFailed])
    }

    @Test("a connection that is gone before anything was sent: another one, three times, with all of the body")
    func lost() throws {
        let bench = try Bench()
        let client = bench.begin(["POST /a HTTP/1.1", "Content-Length: 4"], body: "ab", isComplete: false)
        for number in 0..<3 {
            let dial = bench.connector.dials[number]
            let upstream = FakeUpstream(bench.worker, dial.group)
            upstream.isLost = true
            dial.then(.success(.single(upstream)))
            #expect(bench.connector.dials.count == number + 2)
        }
        client.send("cd", isComplete: true)
        let upstream = bench.connect(3)
        #expect(upstream.news() == ["request /a 'abcd' end"])
        upstream.answer(["HTTP/1.1 200 OK"])
        #expect(client.news().suffix(2) == ["response 200 end", "ended"])
    }

    @Test("a client that lets its upstream wait is at fault when that gives up")
    func silentClient() throws {
        let bench = try Bench(["mesher.timeouts.requestBody": "10s"])
        let head = ["POST /a HTTP/1.1", "Content-Length: 4"]
        let silent = bench.begin(head, body: "ab", isComplete: false)
        let first = bench.connect()
        bench.pass(.milliseconds(1500))
        first.fail()
        #expect(silent.news() == ["reply 502 upstream_reset", "ended"])
        let sending = bench.begin(head, body: "ab", isComplete: false)
        let second = bench.connect()
        bench.pass(.milliseconds(500))
        second.fail()
        #expect(sending.news() == ["reply 502 upstream_reset", "ended"])
        #expect(bench.outcomes == [.clientFault, .upstreamFailed])
    }

    @Test("an upstream that has not looked at the request has waited for nobody")
    func refusedBeforeTheBody() throws {
        let bench = try Bench(["mesher.timeouts.requestBody": "10s"])
        bench.begin(["POST /a HTTP/1.1", "Content-Length: 4"], body: "ab", isComplete: false)
        let upstream = bench.connect()
        bench.pass(.milliseconds(1500))
        upstream.fail(wasSent: false)
        #expect(bench.outcomes == [.upstreamFailed])
    }
}
