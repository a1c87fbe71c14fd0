// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import Testing

@testable import Proxy

/// Copies of requests: calls of their own that no client hears of.
@Suite struct MirrorTests {
    private static func effect(_ share: Int = RouteFault.all, keepsHost: Bool = false, limit: Duration? = nil)
        -> MirrorEffect
    {
        MirrorEffect(RouteMirror(share: share, keepsHost: keepsHost), limit: limit)
    }

    private static let post = ["POST /a HTTP/1.1", "Content-Length: 4"]

    /// How many copies have come to what, by name.
    private static func counts(_ bench: Bench) -> [String: Int] {
        MirrorResult.allCases.reduce(into: [:]) { counts, result in
            let count = bench.count("mesher_mirrored_requests", ["result": result.rawValue])
            if count > 0 { counts[result.rawValue] = count }
        }
    }

    private static func isOver(_ bench: Bench) -> Bool {
        bench.worker.mirrors.count == 0 && bench.worker.mirrors.held == 0
    }

    @Test("a copy goes out behind the request, and its answer is nobody's")
    func copy() throws {
        let bench = try Bench()
        let client = bench.begin(by: RouteAction(), mirrors: [Self.effect()])
        let (upstream, other) = (bench.connect(0), bench.connect(1))
        #expect(bench.connector.dials.map { $0.group.endpoint.host } == ["10.0.0.1", "10.0.0.9"])
        #expect(upstream.news() == ["request /a end"] && other.news() == ["request /a end"])
        other.answer(["HTTP/1.1 500 Broken", "x-a: b"], body: "hello", isComplete: false)
        #expect(client.news() == [])
        upstream.answer(["HTTP/1.1 200 OK"])
        #expect(client.news() == ["response 200 end", "ended"] && client.fields == [:])
        #expect(!Self.isOver(bench))
        other.body("more", isComplete: true)
        #expect(other.news() == ["idle"] && Self.isOver(bench) && Self.counts(bench) == ["answered": 1])
        #expect(bench.mirrorStage.seen.outcomes == [.answered] && client.news() == [])
        // What clients are told of is counted once.
        #expect(bench.metrics.requestTotals.reduce(0) { $0 + $1.totals.requests } == 1)
    }

    @Test("the name in Host ends in -shadow, unless that is not wanted")
    func host() throws {
        for keepsHost in [false, true] {
            let bench = try Bench()
            bench.begin(
                ["GET /a HTTP/1.1", "Expect: 100-continue"], by: RouteAction(),
                mirrors: [Self.effect(keepsHost: keepsHost)])
            let headers = bench.connect(1).fields
            #expect(headers["host"] == (keepsHost ? "cart" : "cart-shadow"))
            #expect(headers["expect"] == nil && bench.connect(0).fields["expect"] != nil)
        }
        let names = ["a", "a:80", "[::1]", "[::1]:80", "a:"].map { Exchange.host($0, with: "-shadow") }
        #expect(names == ["a-shadow", "a-shadow:80", "[::1]-shadow", "[::1]-shadow:80", "a:-shadow"])
    }

    @Test("a copy is sent when the request is whole, with all of its body and its trailers")
    func body() throws {
        let bench = try Bench()
        let client = bench.begin(
            ["POST /a HTTP/1.1", "Transfer-Encoding: chunked"], body: "ab", isComplete: false, by: RouteAction(),
            mirrors: [Self.effect()])
        let upstream = bench.connect(0)
        #expect(upstream.news() == ["request /a 'ab'"])
        client.send("cd")
        #expect(bench.connector.dials.count == 1 && bench.worker.mirrors.held == 4)
        client.send("ef", trailers: ["x-sum": "1"], isComplete: true)
        #expect(upstream.news() == ["body 'cd'", "body 'ef' end x-sum=1"])
        #expect(bench.connect(1).news() == ["request /a 'abcdef' end x-sum=1"])
    }

    @Test("a request that ends before it is whole has no copy")
    func cut() throws {
        let bench = try Bench()
        let client = bench.begin(
            Self.post, body: "ab", isComplete: false, by: RouteAction(), mirrors: [Self.effect(), Self.effect()])
        bench.connect(0)
        #expect(bench.worker.mirrors.count == 2)
        client.event { $0.clientGone() }
        #expect(Self.isOver(bench) && Self.counts(bench) == ["cut": 2] && bench.connector.dials.count == 1)
    }

    @Test("a body that is larger than what is kept of one has no copy, and goes on itself")
    func large() throws {
        let bench = try Bench()
        let client = bench.begin(
            ["POST /a HTTP/1.1", "Transfer-Encoding: chunked"], body: "a", isComplete: false, by: RouteAction(),
            mirrors: [Self.effect()])
        let upstream = bench.connect(0)
        client.send(String(repeating: "b", count: Mirrors.mostBody))
        #expect(Self.isOver(bench) && Self.counts(bench) == ["too_large": 1])
        client.send("c", isComplete: true)
        #expect(upstream.news().last == "body 'c' end" && bench.connector.dials.count == 1)
        upstream.answer(["HTTP/1.1 200 OK"])
        #expect(client.news().suffix(2) == ["response 200 end", "ended"])
    }

    @Test("no more copies are under way than may be")
    func many() throws {
        let bench = try Bench()
        bench.begin(by: RouteAction(), mirrors: Array(repeating: Self.effect(), count: Mirrors.most + 2))
        #expect(bench.worker.mirrors.count == Mirrors.most && Self.counts(bench) == ["too_many": 2])
    }

    @Test("a copy is never tried again, and has a time of its own")
    func failures() throws {
        for isLate in [false, true] {
            let bench = try Bench(waits: [.zero, .zero])
            let client = bench.begin(by: RouteAction(), mirrors: [Self.effect(limit: .seconds(3))])
            let upstream = bench.connect(0)
            if isLate {
                let other = bench.connect(1)
                #expect(bench.passes(.seconds(3)) { other.ticket != nil })
                #expect(other.news().last == "cancelled: late")
            } else {
                bench.refuse(1)
            }
            #expect(bench.connector.dials.count == 2 && Self.isOver(bench) && Self.counts(bench) == ["failed": 1])
            #expect(client.news() == [] && bench.mirrorStage.seen.failures.isEmpty)
            upstream.answer(["HTTP/1.1 200 OK"])
            #expect(client.news() == ["response 200 end", "ended"])
            #expect(bench.count("mesher_retries") == 0)
        }
    }

    @Test("a copy on a connection that was closed under it is not sent again")
    func stale() throws {
        let bench = try Bench()
        bench.begin(by: RouteAction(), mirrors: [Self.effect()])
        let other = bench.connect(1)
        other.fail(wasReused: true)
        #expect(bench.connector.dials.count == 2 && Self.isOver(bench) && Self.counts(bench) == ["failed": 1])
    }

    @Test("another try of the request makes no other copy")
    func retry() throws {
        let bench = try Bench(waits: [.zero])
        bench.begin(by: RouteAction(), mirrors: [Self.effect()])
        bench.refuse(0)
        #expect(bench.connector.dials.map { $0.group.endpoint.host } == ["10.0.0.1", "10.0.0.9", "10.0.0.1"])
    }

    @Test("so many requests are copied as the share says; WebSockets and tunnels never are")
    func share() throws {
        let bench = try Bench()
        for _ in 0..<200 { bench.begin(by: RouteAction(), mirrors: [Self.effect(250_000), Self.effect(0)]) }
        #expect((25...80).contains(bench.worker.mirrors.count))
        let other = try Bench()
        other.begin(
            ["GET /a HTTP/1.1", "Connection: Upgrade", "Upgrade: websocket"], by: RouteAction(),
            mirrors: [Self.effect()])
        #expect(other.worker.mirrors.count == 0)
    }
}
