// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import Testing

@testable import Proxy

/// Limits of a route for calls as a whole.
@Suite struct ExchangeDriverStreamTests {
    private static let late = ["reply 504 upstream_timeout", "ended"]

    private static func action(call: Duration? = nil, _ edit: (inout StreamLimits) -> Void) -> RouteAction {
        var limits = RouteLimits()
        var stream = StreamLimits()
        edit(&stream)
        limits.call = call
        limits.stream = stream
        return RouteAction(
            limits: limits, retry: RouteRetry(after: .serverError, retries: 3, avoidsTried: false))
    }

    private static func call(_ timeout: String?) -> [String] {
        ["POST /s/m HTTP/1.1", "Content-Type: application/grpc"] + (timeout.map { ["grpc-timeout: \($0)"] } ?? [])
    }

    @Test("the time of the whole begins with the head of the request, and runs over all tries")
    func whole() throws {
        let bench = try Bench(waits: [.zero, .zero])
        let client = bench.begin(
            ["POST /a HTTP/1.1", "Content-Length: 2"], isComplete: false,
            by: Self.action(call: .seconds(60)) { $0.whole = .seconds(2) })
        let first = bench.connect()
        bench.pass(.milliseconds(900))
        client.send("ab", isComplete: true)
        first.answer(["HTTP/1.1 503 Busy"])
        let second = bench.connect(1)
        bench.pass(.milliseconds(1000))
        #expect(!client.events.contains { $0.hasPrefix("reply") })
        bench.pass(.milliseconds(200))
        #expect(client.news().suffix(2) == Self.late[...])
        #expect(second.news() == ["request /a 'ab' end", "cancelled: late"])
    }

    @Test("an answer that has begun is cut")
    func cut() throws {
        let bench = try Bench()
        let client = bench.begin(by: Self.action { $0.whole = .seconds(1) })
        let upstream = bench.connect()
        upstream.answer(["HTTP/1.1 200 OK", "Content-Length: 9"], body: "a", isComplete: false)
        bench.pass(.milliseconds(1200))
        #expect(client.news() == ["response 200 'a'", "abort", "ended"])
    }

    @Test(
        "a call of gRPC gets what it asks for, as far as the route allows",
        arguments: [
            ("5S", 500, 0, 500), ("200m", 500, 0, 200), ("600m", 0, 300, 300), ("200m", 0, 300, 1), (nil, 500, 0, 900),
        ] as [(String?, Int, Int, Int)])
    func asked(timeout: String?, most: Int, less: Int, expected: Int) throws {
        let bench = try Bench(endpoints: ["grpc://10.0.0.1:80"])
        let client = bench.begin(
            Self.call(timeout),
            by: Self.action { limits in
                limits.whole = .milliseconds(900)
                limits.asked = .milliseconds(most)
                limits.askedLess = .milliseconds(less)
            })
        bench.connectShared()
        if expected > 50 {
            bench.pass(.milliseconds(Int64(expected - 40)))
            #expect(client.news() == [])
        }
        bench.pass(.milliseconds(120))
        #expect(client.news() == Self.late)
    }

    @Test("other requests have no time of their own")
    func notAsked() throws {
        let bench = try Bench()
        let client = bench.begin(["GET /a HTTP/1.1", "grpc-timeout: 100m"], by: Self.action { $0.asked = .zero })
        bench.connect()
        bench.pass(.seconds(1))
        #expect(client.news() == [])
    }

    @Test("calls of gRPC have a limit in place of that of other requests")
    func grpcCall() throws {
        for (limit, isLate) in [(Duration.seconds(3), false), (.milliseconds(500), true)] {
            var limits = RouteLimits()
            (limits.call, limits.grpcCall) = (.seconds(1), limit)
            let bench = try Bench(endpoints: ["grpc://10.0.0.1:80"])
            let client = bench.begin(Self.call(nil), by: RouteAction(limits: limits))
            bench.connectShared()
            bench.pass(.milliseconds(1500))
            #expect(client.news() == (isLate ? Self.late : []))
        }
    }

    @Test("silence before the answer ends the call without another try, and each byte of the answer begins it anew")
    func silence() throws {
        let bench = try Bench(waits: [.zero])
        let client = bench.begin(by: Self.action { $0.silence = .seconds(1) })
        bench.connect()
        bench.pass(.milliseconds(900))
        #expect(client.news() == [])
        bench.pass(.milliseconds(250))
        #expect(client.news() == Self.late && bench.connector.dials.count == 1)
        let other = bench.begin(by: Self.action { $0.silence = .seconds(1) })
        let upstream = bench.connect(1)
        bench.pass(.milliseconds(900))
        upstream.answer(["HTTP/1.1 103 Early"])
        bench.pass(.milliseconds(900))
        #expect(other.news() == ["interim 103"])
    }

    @Test("clients of Envoy know each limit by its text")
    func texts() {
        var reply = LocalReply(ProxyError(.upstreamTimeout), .envoy)
        OverdueStream.whole.tell(&reply)
        #expect(reply.status == 504 && reply.body == "downstream duration timeout" && reply.codeOfGRPC == 4)
        reply = LocalReply(ProxyError(.upstreamTimeout), .envoy)
        OverdueStream.silence.tell(&reply)
        #expect(reply.status == 504 && reply.body == "stream timeout" && reply.codeOfGRPC == 14)
    }
}
