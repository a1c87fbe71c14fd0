// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import NIOEmbedded
import Testing

@testable import Proxy

/// Every state has a deadline, and each ends the call in its own way.
@Suite struct ExchangeDriverDeadlineTests {
    private static let times = [
        "mesher.timeouts.firstByte": "2s", "mesher.timeouts.requestBody": "1s", "mesher.timeouts.stream": "3s",
        "mesher.timeouts.tunnel": "4s",
    ]
    private static let upload = ["POST /a HTTP/1.1", "Transfer-Encoding: chunked"]
    private static let late = ["reply 504 upstream_timeout", "ended"]

    private static func call(_ timeout: String) -> [String] {
        ["POST /s/m HTTP/1.1", "Content-Type: application/grpc", "grpc-timeout: \(timeout)"]
    }

    @Test("the head of the response: from the last byte of the request, then 504")
    func head() throws {
        let bench = try Bench(Self.times)
        let client = bench.begin(Self.upload, body: "a", isComplete: false)
        let upstream = bench.connect()
        for _ in 0..<3 {
            bench.pass(.milliseconds(900))
            client.send("b")
        }
        client.send("c", isComplete: true)
        _ = upstream.news()
        #expect(bench.passes(.seconds(2)) { client.events.isEmpty })
        #expect(client.news() == Self.late)
        #expect(upstream.news() == ["cancelled: late"])
        #expect(bench.outcomes == [.upstreamFailed])
        #expect(bench.hits(.upstreamTime) == 1)
    }

    @Test("each try has its own time for the head")
    func headOfEachTry() throws {
        let bench = try Bench(Self.times, waits: [.zero])
        let client = bench.begin()
        bench.connect()
        bench.pass(.milliseconds(2500))
        bench.connect(1)
        #expect(bench.passes(.milliseconds(1900)) { client.events.isEmpty })
        #expect(client.news() == Self.late)
        #expect(bench.outcomes == [.upstreamFailed, .upstreamFailed])
        #expect(bench.hits(.upstreamTime) == 2)
    }

    @Test("an interim response does not give the upstream more time for the final one")
    func interim() throws {
        let bench = try Bench(Self.times)
        let client = bench.begin()
        let upstream = bench.connect()
        bench.pass(.milliseconds(1900))
        upstream.answer(["HTTP/1.1 103 Early"])
        bench.pass(.milliseconds(700))
        #expect(client.news() == ["interim 103"] + Self.late)
    }

    @Test("a gRPC call has the time that its client gives it, over all tries, and no further one begins")
    func call() throws {
        let bench = try Bench(Self.times, endpoints: ["grpc://10.0.0.1:80"], waits: [.zero, .zero])
        let client = bench.begin(Self.call("400m"))
        let shared = bench.connectShared()
        bench.pass(.milliseconds(300))
        shared.stream(0).fail()
        #expect(shared.streams.count == 2)
        bench.pass(.milliseconds(99))
        #expect(client.news() == [])
        bench.pass(.milliseconds(21))
        #expect(client.news() == Self.late)
        #expect(shared.stream(1).news() == ["request /s/m end", "cancelled: late"])
        #expect(shared.streams.count == 2)
        // The second instance had no fair chance.
        #expect(bench.outcomes == [.upstreamFailed, .callOver])
        #expect(bench.healths.last == .some(nil))
        #expect(bench.stage.seen.grpcStatuses.last == 4)
    }

    @Test("an instance that had a second of a call's time is blamed")
    func fairChance() throws {
        let bench = try Bench(Self.times, endpoints: ["grpc://10.0.0.1:80"])
        let client = bench.begin(Self.call("1500m"))
        bench.connectShared()
        #expect(bench.passes(.milliseconds(1500)) { client.events.isEmpty })
        #expect(client.news() == Self.late)
        #expect(bench.outcomes == [.upstreamFailed])
    }

    @Test("a gRPC call that is over while its answer comes is cut")
    func callInAnswer() throws {
        let bench = try Bench(Self.times, endpoints: ["grpc://10.0.0.1:80"])
        let client = bench.begin(Self.call("2S"))
        let shared = bench.connectShared()
        shared.stream(0).answer(["HTTP/1.1 200 OK"], isComplete: false)
        for _ in 0..<3 {
            bench.pass(.milliseconds(600))
            shared.stream(0).body("x")
        }
        _ = client.news()
        bench.pass(.milliseconds(700))
        #expect(client.news() == ["abort", "ended"])
        #expect(shared.stream(0).news().last == "cancelled: late")
    }

    @Test("a call that a stage holds is not held for ever")
    func held() throws {
        let other = EmbeddedEventLoop()
        let promise = other.makePromise(of: Void.self)
        let bench = try Bench(Self.times) { _ in .hold(promise.futureResult) }
        let client = bench.begin()
        #expect(bench.passes(.seconds(3)) { client.events.isEmpty })
        #expect(client.news() == ["reply 500 internal", "ended"])
        // What it has waited for comes all the same, and starts nothing.
        promise.succeed()
        bench.loop.run()
        #expect(client.news() == [])
        #expect(bench.connector.dials.isEmpty)
    }

    @Test("a held call goes on, and its idle time does not")
    func heldShortly() throws {
        let other = EmbeddedEventLoop()
        let promise = other.makePromise(of: Void.self)
        let bench = try Bench(Self.times) { $0 == 1 ? .again(promise.futureResult) : .proceed }
        let client = bench.begin()
        bench.pass(.milliseconds(2900))
        promise.succeed()
        bench.loop.run()
        let upstream = bench.connect()
        bench.pass(.milliseconds(1500))
        #expect(client.news() == [])
        upstream.answer(["HTTP/1.1 200 OK"])
        #expect(client.news() == ["response 200 end", "ended"])
    }

    @Test("a connection is waited for as long as a head, then 504; when it comes late it is the pool's")
    func connecting() throws {
        let bench = try Bench(Self.times)
        let client = bench.begin()
        #expect(bench.passes(.seconds(2)) { client.events.isEmpty })
        #expect(client.news() == Self.late)
        #expect(bench.outcomes == [.upstreamFailed])
        #expect(bench.connect().news() == ["idle"])
    }

    @Test("a request body that stands still: 408, and it is the client's fault")
    func silentBody() throws {
        let bench = try Bench(Self.times, waits: [.zero])
        let client = bench.begin(Self.upload, body: "a", isComplete: false)
        let upstream = bench.connect()
        #expect(bench.passes(.seconds(1)) { client.events.isEmpty })
        #expect(client.news() == ["reply 408 request_timeout", "ended"])
        #expect(upstream.news() == ["request /a 'a'", "cancelled: gone"])
        #expect(bench.outcomes == [.clientFault])
        #expect(bench.hits(.requestBodyTime) == 1)
    }

    @Test("a body that drips is ended: 1 KiB within four times the silence that it is allowed")
    func drippingBody() throws {
        let bench = try Bench(Self.times)
        let client = bench.begin(Self.upload, body: "a", isComplete: false)
        bench.connect()
        for _ in 0..<13 {
            bench.pass(.milliseconds(300))
            client.send("b")
        }
        #expect(client.news() == [])
        bench.pass(.milliseconds(300))
        client.send("b")
        bench.pass(.milliseconds(300))
        #expect(client.news() == ["reply 408 request_timeout", "ended"])
        #expect(bench.hits(.requestBodyTime) == 1)
    }

    @Test("one that brings just that goes on, however long it takes")
    func slowBody() throws {
        let bench = try Bench(Self.times)
        let client = bench.begin(Self.upload, body: "a", isComplete: false)
        let upstream = bench.connect()
        // 1024 bytes in 3.6 s.
        for _ in 0..<60 {
            bench.pass(.milliseconds(900))
            client.send(String(repeating: "b", count: 256))
        }
        client.send(nil, isComplete: true)
        upstream.answer(["HTTP/1.1 200 OK"])
        #expect(client.news() == ["response 200 end", "ended"])
    }

    @Test("a stream of gRPC messages may be silent as long as its call lasts")
    func silentStream() throws {
        let bench = try Bench(Self.times, endpoints: ["grpc://10.0.0.1:80"])
        let head = ["POST /s/m HTTP/1.1", "Content-Type: application/grpc", "Transfer-Encoding: chunked"]
        let client = bench.begin(head, body: "a", isComplete: false)
        let shared = bench.connectShared()
        bench.pass(.seconds(60))
        #expect(client.news() == [])
        #expect(shared.stream(0).news() == ["request /s/m 'a'"])
        client.event { $0.clientGone() }
    }

    @Test("an upstream that takes no more of the request is late, not its client")
    func fullUpstream() throws {
        let bench = try Bench(Self.times)
        let client = bench.begin(Self.upload, body: "a", isComplete: false)
        let upstream = bench.connect()
        upstream.takesMore = false
        client.send("b")
        #expect(bench.passes(.seconds(3)) { client.events == ["stops reading"] })
        #expect(client.news() == ["stops reading"] + Self.late)
        #expect(bench.outcomes == [.upstreamFailed])
    }

    @Test("a response that stands still is cut: its upstream's fault, or its client's")
    func silentResponse() throws {
        let bench = try Bench(Self.times)
        let client = bench.begin()
        let upstream = bench.connect()
        upstream.answer(["HTTP/1.1 200 OK"], isComplete: false)
        bench.pass(.milliseconds(2900))
        upstream.body("a")
        _ = client.news()
        #expect(bench.passes(.seconds(3)) { client.events.isEmpty })
        #expect(client.news() == ["abort", "ended"])
        #expect(upstream.news().last == "cancelled: late")
        let slow = bench.begin()
        slow.takesMore = false
        let other = bench.connect()
        other.answer(["HTTP/1.1 200 OK"], body: "a", isComplete: false)
        bench.pass(.milliseconds(2900))
        // It has taken some, though not all.
        slow.event { $0.downstreamProgressed() }
        _ = slow.news()
        #expect(bench.passes(.seconds(3)) { slow.events.isEmpty })
        #expect(slow.news() == ["abort", "ended"])
        #expect(other.news().last == "cancelled: gone")
        #expect(bench.outcomes == [.diedInBody, .clientFault])
        #expect(bench.hits(.upstreamTime) == 1)
        #expect(bench.hits(.clientStallTime) == 1)
    }
}
