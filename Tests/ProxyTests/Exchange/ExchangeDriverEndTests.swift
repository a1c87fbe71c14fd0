// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import NIOEmbedded
import Testing

@testable import Proxy

/// How calls end: what the client is told, what stages are told, and that the driver comes back once.
@Suite struct ExchangeDriverEndTests {
    @Test("an answer is passed on, and its connection is the pool's before the client has it")
    func answered() throws {
        let bench = try Bench()
        let client = bench.begin()
        let upstream = bench.connect()
        upstream.answer(["HTTP/1.1 200 OK", "x-a: 1"], body: "abc", isComplete: false)
        #expect(bench.worker.pool.idleCount == 0)
        upstream.body("def", trailers: ["sum": "6"], isComplete: true)
        #expect(client.news() == ["response 200 'abc'", "body 'def' end sum=6", "ended"])
        #expect(client.fields == ["x-a": "1"])
        #expect(upstream.news() == ["request /a end", "idle"])
        #expect(bench.worker.pool.idleCount == 1)
        #expect(bench.outcomes == [.answered])
    }

    @Test("no connection: 502, and the instance is told")
    func connectFailed() throws {
        let bench = try Bench()
        let client = bench.begin()
        bench.refuse()
        #expect(client.news() == ["reply 502 connect_failed", "ended"])
        #expect(bench.outcomes == [.connectFailed])
        #expect(bench.healths == ["connect"])
    }

    @Test("an upstream that goes before its head failed; one that goes in its body died there, and the answer is cut")
    func upstreamFailed() throws {
        let bench = try Bench()
        let first = bench.begin()
        bench.connect().fail()
        #expect(first.news() == ["reply 502 upstream_reset", "ended"])
        let second = bench.begin()
        let upstream = bench.connect()
        upstream.answer(["HTTP/1.1 200 OK"], body: "abc", isComplete: false)
        upstream.fail(code: 8)
        #expect(second.news() == ["response 200 'abc'", "abort 8", "ended"])
        #expect(bench.outcomes == [.upstreamFailed, .diedInBody])
        #expect(bench.healths == ["response", "response"])
    }

    @Test("a listed status is a failure, and passed on")
    func listedStatus() throws {
        let bench = try Bench(failures: [503])
        let client = bench.begin()
        bench.connect().answer(["HTTP/1.1 503 Busy"], body: "busy")
        let other = bench.begin()
        // The connection is used again.
        #expect(bench.connector.dials.count == 1)
        #expect(client.news() == ["response 503 'busy' end", "ended"])
        #expect(bench.outcomes == [.listedStatus])
        other.event { $0.clientGone() }
    }

    @Test("a gRPC call whose trailers say a listed failure has failed")
    func listedGRPCStatus() throws {
        let bench = try Bench(endpoints: ["grpc://10.0.0.1:80"], failures: [503])
        for (status, outcome) in [("14", Outcome.listedStatus), ("0", .answered)] {
            let client = bench.begin(["POST /s/m HTTP/1.1", "Content-Type: application/grpc", "Content-Length: 0"])
            let shared = bench.connectShared()
            shared.streams.last?.answer(["HTTP/1.1 200 OK"], isComplete: false)
            shared.streams.last?.body("abc", trailers: ["grpc-status": status], isComplete: true)
            #expect(client.news() == ["response 200", "body 'abc' end grpc-status=\(status)", "ended"])
            #expect(bench.outcomes.last == outcome)
            #expect(bench.stage.seen.grpcStatuses.last == Int(status))
            shared.isAvailable = false
        }
    }

    /// When a client leaves or breaks the rules.
    enum Moment: CaseIterable { case connecting, waiting, responding }

    @Test(
        "a client that is gone, whenever, is its own fault, and what was under way for it ends",
        arguments: Moment.allCases)
    func clientGone(moment: Moment) throws {
        let bench = try Bench(waits: [.zero])
        let client = bench.begin()
        let upstream = moment == .connecting ? nil : bench.connect()
        if moment == .responding { upstream?.answer(["HTTP/1.1 200 OK"], isComplete: false) }
        _ = client.news()
        client.event { $0.clientGone() }
        #expect(client.news() == ["ended"])
        #expect(upstream?.news().last ?? "cancelled: gone" == "cancelled: gone")
        #expect(bench.outcomes == [.clientFault])
        #expect(bench.healths.last == .some(nil))
        #expect(bench.stage.seen.errors == [.clientGone])
        // Nothing of it goes on.
        bench.pass(.seconds(60))
        #expect(client.news() == [])
        #expect(bench.connector.dials.count == 1)
    }

    @Test("a request that is broken: 400, or a cut when the answer has begun", arguments: Moment.allCases)
    func requestFailed(moment: Moment) throws {
        let bench = try Bench(waits: [.zero])
        let client = bench.begin(["POST /a HTTP/1.1", "Transfer-Encoding: chunked"], isComplete: false)
        let upstream = moment == .connecting ? nil : bench.connect()
        if moment == .responding { upstream?.answer(["HTTP/1.1 200 OK"], isComplete: false) }
        _ = client.news()
        client.event { $0.requestFailed(ProxyError(.badRequest)) }
        #expect(client.news() == [moment == .responding ? "abort" : "reply 400 bad_request", "ended"])
        #expect(upstream?.news().last ?? "cancelled: gone" == "cancelled: gone")
        #expect(bench.outcomes == [.clientFault])
    }

    @Test(
        "what a stage says is answered, and no instance is blamed",
        arguments: [
            (.circuitOpen, "reply 503 circuit_open", .refused), (.rateLimited, "reply 429 rate_limited", .refused),
            (.noEndpoint, "reply 502 no_endpoint", .noInstance), (.loop, "reply 508 loop", .refused),
        ] as [(ProxyError.Reason, String, Outcome)])
    func rejected(reason: ProxyError.Reason, text: String, outcome: Outcome) throws {
        let bench = try Bench { _ in .reject(ProxyError(reason)) }
        let client = bench.begin()
        #expect(client.news() == [text, "ended"])
        #expect(bench.outcomes == [outcome])
        #expect(bench.healths.last == .some(nil))
        #expect(bench.connector.dials.isEmpty)
    }

    @Test("a stage's own reply, and one whose future has failed")
    func replied() throws {
        let replying = try Bench { _ in .reply(LocalReply(status: 204)) }
        #expect(replying.begin().news() == ["reply 204 -", "ended"])
        #expect(replying.outcomes == [.replied])
        let failed = EmbeddedEventLoop().makeFailedFuture(ChannelError.eof) as EventLoopFuture<Void>
        let failing = try Bench { _ in .hold(failed) }
        let client = failing.begin()
        failing.loop.run()
        #expect(client.news() == ["reply 500 internal", "ended"])
        #expect(failing.outcomes == [.refused])
    }

    @Test("the incoming side says which requests its application has not seen")
    func unserved() throws {
        let incoming = try Bench([:], .incoming)
        let client = incoming.begin()
        incoming.refuse()
        #expect(client.news() == ["reply 502 connect_failed x-mesher-unserved", "ended"])
        // A reset says nothing of that.
        let other = incoming.begin()
        incoming.connect().fail()
        #expect(other.news() == ["reply 502 upstream_reset", "ended"])
    }

    @Test("a driver that came back is taken again, by one only, and knows nothing of the call before")
    func reuse() throws {
        let bench = try Bench()
        let client = bench.begin(["GET /first HTTP/1.1", "x-old: 1"])
        let upstream = bench.connect()
        upstream.answer(["HTTP/1.1 200 OK", "x-answer: 1"], body: "abc")
        #expect(client.ends == 1)
        let driver = bench.worker.takeDriver()
        let other = bench.worker.takeDriver()
        #expect(driver !== other)
        #expect(driver.exchange.requestHeaders.lines.isEmpty && driver.exchange.responseHeaders.lines.isEmpty)
        #expect(driver.exchange.status == 0 && driver.exchange.endpoint == nil && driver.exchange.attempts == 0)
        #expect(driver.exchange.responseBytes == 0 && driver.exchange.outcome == .open)
        bench.worker.giveBack(driver)
        bench.worker.giveBack(other)
        #expect(bench.count("mesher_errors", ["reason": "client_gone"]) == 0)
    }

    @Test("an upstream that speaks after its call is over reaches nobody")
    func late() throws {
        let bench = try Bench()
        let client = bench.begin()
        let upstream = bench.connect()
        let old = try #require(upstream.ticket)
        upstream.answer(["HTTP/1.1 200 OK"])
        #expect(client.news() == ["response 200 end", "ended"])
        // The same driver serves another call now.
        let next = bench.begin(["GET /b HTTP/1.1"])
        #expect(upstream.ticket?.driver === old.driver)
        #expect(!old.isValid)
        bench.worker.event {
            old.driver.finalResponse(old.number, bodyLength: nil, body: nil, isComplete: true)
            old.driver.upstreamFailed(old.number, ProxyError(.upstreamReset), wasReused: true)
            old.driver.responseBody(old.number, nil, isComplete: true)
            old.driver.tunnelLost(old.number, isBroken: true)
            old.driver.interimResponse(old.number)
            old.driver.upstreamWritable(old.number, false)
            old.driver.connectFailed(old.number, ProxyError(.connectFailed))
        }
        #expect(next.news() == [])
        upstream.answer(["HTTP/1.1 204 Empty"])
        #expect(next.news() == ["response 204 end", "ended"])
    }
}
