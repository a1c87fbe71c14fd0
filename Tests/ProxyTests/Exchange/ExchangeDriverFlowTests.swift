// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import Testing

@testable import Proxy

/// Back-pressure over all tries, clients that have closed their sending side, interim responses.
@Suite struct ExchangeDriverFlowTests {
    private static let upload = ["PUT /a HTTP/1.1", "Transfer-Encoding: chunked"]

    // MARK: Back-pressure

    @Test("an upstream that takes no more stops its client, until it takes more")
    func fullUpstream() throws {
        let bench = try Bench()
        let client = bench.begin(Self.upload, body: "a", isComplete: false)
        let upstream = bench.connect()
        upstream.takesMore = false
        client.send("b")
        #expect(client.news() == ["stops reading"])
        upstream.tell { $0.upstreamWritable($1, true) }
        #expect(client.news() == ["reads"])
        upstream.tell { $0.upstreamWritable($1, false) }
        #expect(client.news() == ["stops reading"])
        upstream.tell { $0.upstreamDrained($1) }
        #expect(client.news() == ["reads"])
    }

    @Test("a client that takes no more stops its upstream, until it takes more")
    func fullClient() throws {
        let bench = try Bench()
        let client = bench.begin()
        let upstream = bench.connect()
        client.takesMore = false
        upstream.answer(["HTTP/1.1 200 OK"], body: "a", isComplete: false)
        upstream.body("b")
        #expect(upstream.news() == ["request /a end", "stops reading"])
        client.event { $0.downstreamWritable(true) }
        #expect(upstream.news() == ["reads"])
        client.takesMore = true
        upstream.body("c")
        #expect(upstream.news() == [])
        upstream.body(nil, isComplete: true)
        #expect(client.news() == ["response 200 'a'", "body 'b'", "body 'c'", "body end", "ended"])
    }

    @Test("what is sent while nobody can take it waits, and the client is not read meanwhile")
    func keptForLater() throws {
        let bench = try Bench()
        let client = bench.begin(Self.upload, body: "a", isComplete: false)
        client.send("b")
        #expect(client.news() == ["stops reading"])
        client.send("c")
        let upstream = bench.connect()
        #expect(upstream.news() == ["request /a 'abc'"])
        #expect(client.news() == ["reads"])
    }

    @Test("that one upstream was full does not stop the client of the next try")
    func fullInTry1() throws {
        let bench = try Bench(waits: [.milliseconds(100)])
        let client = bench.begin(Self.upload, body: "a", isComplete: false)
        let first = bench.connect()
        first.takesMore = false
        client.send("b")
        #expect(client.news() == ["stops reading"])
        first.fail()
        // What was on its way comes in the back-off.
        client.send("c")
        bench.pass(.milliseconds(100))
        let second = bench.connect(1)
        #expect(second.news() == ["request /a 'abc'"])
        #expect(client.news() == ["reads"])
        // Its silence is the client's now.
        client.send("d", isComplete: true)
        #expect(second.news() == ["body 'd' end"])
        second.answer(["HTTP/1.1 200 OK"])
        #expect(client.news() == ["response 200 end", "ended"])
    }

    @Test("a client that was stopped in a try whose upstream has died is read on in the next one, though that is full")
    func fullInBoth() throws {
        let bench = try Bench(waits: [.zero])
        let client = bench.begin(Self.upload, body: "a", isComplete: false)
        let first = bench.connect()
        first.takesMore = false
        client.send("b")
        first.fail()
        let dial = bench.connector.dials[1]
        let second = FakeUpstream(bench.worker, dial.group)
        second.takesMore = false
        dial.then(.success(.single(second)))
        #expect(client.news() == ["stops reading"])
        // Not of the first any more.
        second.tell { $0.upstreamWritable($1, true) }
        #expect(client.news() == ["reads"])
    }

    // MARK: Clients that have closed their sending side

    @Test("a client that has closed its side is waited for 5 s, then everything ends")
    func halfClosed() throws {
        let bench = try Bench(waits: [.zero])
        let client = bench.begin()
        let upstream = bench.connect()
        client.event { $0.clientHalfClosed() }
        #expect(bench.passes(.seconds(5)) { client.events.isEmpty })
        #expect(client.news() == ["abort", "ended"])
        #expect(upstream.news() == ["request /a end", "cancelled: gone"])
        #expect(bench.outcomes == [.clientFault])
    }

    @Test("its grace begins once, whatever happens before the answer")
    func graceOnce() throws {
        let bench = try Bench(waits: [.milliseconds(500), .zero])
        let client = bench.begin()
        client.event { $0.clientHalfClosed() }
        bench.pass(.seconds(1))
        let first = bench.connect()
        bench.pass(.seconds(1))
        first.fail()
        bench.pass(.seconds(1))
        let second = bench.connect(1)
        bench.pass(.milliseconds(1999))
        #expect(client.news() == [])
        bench.pass(.milliseconds(501))
        #expect(client.news() == ["abort", "ended"])
        #expect(second.news() == ["request /a end", "cancelled: gone"])
        #expect(bench.connector.dials.count == 2)
    }

    @Test("an answer that comes in time is sent, as long as it goes on")
    func answeredInTime() throws {
        let bench = try Bench()
        let client = bench.begin()
        let upstream = bench.connect()
        client.event { $0.clientHalfClosed() }
        bench.pass(.seconds(4))
        upstream.answer(["HTTP/1.1 200 OK"], isComplete: false)
        for _ in 0..<3 {
            bench.pass(.seconds(4))
            upstream.body("a")
        }
        upstream.body(nil, isComplete: true)
        #expect(client.news() == ["response 200", "body 'a'", "body 'a'", "body 'a'", "body end", "ended"])
        #expect(bench.outcomes == [.answered])
    }

    @Test("an event stream has nobody to listen: it ends at once", arguments: [true, false])
    func eventStream(isEarly: Bool) throws {
        let bench = try Bench()
        let client = bench.begin()
        let upstream = bench.connect()
        if isEarly { client.event { $0.clientHalfClosed() } }
        upstream.answer(["HTTP/1.1 200 OK", "Content-Type: text/event-stream; charset=utf-8"], isComplete: false)
        if !isEarly {
            #expect(client.news() == ["response 200"])
            client.event { $0.clientHalfClosed() }
        }
        #expect(client.news().suffix(2) == ["abort", "ended"])
        #expect(upstream.news().last == "cancelled: gone")
        #expect(bench.outcomes == [.clientFault])
    }

    // MARK: Interim responses

    @Test("interim responses are passed on up to a number, and leave nothing for the final one")
    func interim() throws {
        let bench = try Bench(["mesher.limits.interimResponses": "2"], waits: [.zero])
        let client = bench.begin()
        let upstream = bench.connect()
        upstream.answer(["HTTP/1.1 103 Early", "link: a"])
        upstream.answer(["HTTP/1.1 102 Processing"])
        upstream.answer(["HTTP/1.1 200 OK", "x-a: 1"])
        #expect(client.news() == ["interim 103", "interim 102", "response 200 end", "ended"])
        #expect(client.fields == ["x-a": "1"])
        #expect(bench.hits(.interimResponses) == 0)
        // The connection serves another one, whose count begins anew.
        let other = bench.begin()
        for _ in 0..<3 { upstream.answer(["HTTP/1.1 103 Early"]) }
        #expect(other.news() == ["interim 103", "interim 103", "reply 502 bad_upstream_response", "ended"])
        #expect(upstream.news().last == "cancelled: unwanted")
        #expect(bench.hits(.interimResponses) == 1)
        #expect(bench.outcomes == [.answered, .upstreamFailed])
    }
}
