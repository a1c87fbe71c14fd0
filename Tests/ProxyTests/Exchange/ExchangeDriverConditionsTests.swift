// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import Testing

@testable import Proxy

/// Answers and silences of an upstream, where a route names the failures after which there is another try.
@Suite struct ExchangeDriverConditionsTests {
    private static let post = ["POST /a HTTP/1.1", "Content-Length: 2"]

    private static func action(
        _ conditions: RetryConditions, _ statuses: Set<Int> = [], head: Duration? = nil, call: Duration? = nil
    ) -> RouteAction {
        var limits = RouteLimits()
        (limits.head, limits.call) = (head, call)
        return RouteAction(
            limits: limits, retry: RouteRetry(after: conditions, retries: 2, statuses: statuses, avoidsTried: true))
    }

    @Test(
        "an answer is repeated when a condition asks for it, and else passed on",
        arguments: [
            (.serverError, "503 Busy", [], true), (.gatewayError, "500 Broken", [], false),
            (.conflict, "409 Conflict", [], true), (.statuses, "418 Teapot", [418], true),
            (.serverError, "418 Teapot", [418], false), (.grpcUnavailable, "503 Busy", [], false),
        ] as [(RetryConditions, String, Set<Int>, Bool)])
    func answers(conditions: RetryConditions, status: String, statuses: Set<Int>, isRepeated: Bool) throws {
        let bench = try Bench(waits: [.zero])
        let client = bench.begin(by: Self.action(conditions, statuses))
        bench.connect().answer(["HTTP/1.1 \(status)"])
        if !isRepeated {
            #expect(client.news() == ["response \(status.prefix(3)) end", "ended"])
            #expect(bench.outcomes == [.answered])
            return
        }
        #expect(client.news() == [])
        bench.connect(1).answer(["HTTP/1.1 200 OK"])
        #expect(client.news() == ["response 200 end", "ended"])
        #expect(bench.outcomes == [.unwantedStatus, .answered])
    }

    @Test("after the last try the upstream's own answer is passed on")
    func last() throws {
        let bench = try Bench(waits: [.zero])
        let client = bench.begin(by: Self.action(.serverError))
        bench.connect().answer(["HTTP/1.1 503 Busy"])
        bench.connect(1).answer(["HTTP/1.1 500 Broken", "x-try: 2"])
        #expect(client.news() == ["response 500 end", "ended"])
        #expect(client.fields == ["x-try": "2"])
    }

    @Test("an answer that says that more came than is let through is repeated only where that is asked for")
    func rateLimited() throws {
        for (conditions, isRepeated) in [(RetryConditions.serverError, false), ([.serverError, .rateLimited], true)] {
            let bench = try Bench(waits: [.zero])
            let client = bench.begin(by: Self.action(conditions))
            bench.connect().answer(["HTTP/1.1 503 Busy", "x-envoy-ratelimited: true"])
            #expect(client.news() == (isRepeated ? [] : ["response 503 end", "ended"]))
        }
    }

    @Test("an answer is repeated when one of its fields is as the route describes it, for requests that it describes")
    func fields() throws {
        let fields = [
            FieldMatch("x-again", [.exact(.init("yes"))]), FieldMatch(":status", [.exact(.init("404"))]),
        ]
        let may = FieldMatch("x-may", [.exact(.init("yes"))])
        for (head, answer, isRepeated) in [
            ("X-May: yes", ["HTTP/1.1 200 OK", "X-Again: yes"], true),
            ("X-May: yes", ["HTTP/1.1 200 OK", "X-Again: no"], false), ("X-May: yes", ["HTTP/1.1 404 Gone"], true),
            ("X-May: no", ["HTTP/1.1 404 Gone"], false), ("X-May: no", ["HTTP/1.1 503 Busy"], false),
            ("X-May: yes", ["HTTP/1.1 503 Busy"], true),
        ] {
            let bench = try Bench(waits: [.zero])
            let client = bench.begin(
                ["GET /a HTTP/1.1", head],
                by: RouteAction(
                    retry: RouteRetry(
                        after: [.fields, .serverError], retries: 2, fields: fields, requestFields: [may],
                        avoidsTried: true)))
            bench.connect().answer(answer)
            #expect(client.news().isEmpty == isRepeated)
        }
    }

    @Test("the status of gRPC counts where the head says it")
    func grpc() throws {
        let call = ["POST /s/m HTTP/1.1", "Content-Type: application/grpc", "Content-Length: 5"]
        let bench = try Bench(endpoints: ["grpc://10.0.0.1:80"], waits: [.zero])
        let client = bench.begin(call, body: "hello", by: Self.action([.grpcUnavailable, .serverError]))
        let shared = bench.connectShared()
        shared.stream(0).answer(["HTTP/1.1 200 OK", "grpc-status: 14"])
        #expect(client.news() == [])
        shared.stream(1).answer(["HTTP/1.1 200 OK", "grpc-status: 13"])
        // Its HTTP status is not 5xx.
        #expect(client.news() == ["response 200 end", "ended"])
    }

    @Test("each try has its own time, and the time of the call ends them all, while connecting too")
    func times() throws {
        let bench = try Bench(["mesher.timeouts.firstByte": "2s"], waits: [.zero, .zero, .zero])
        let client = bench.begin(Self.post, body: "ab", by: Self.action(.serverError, call: .seconds(5)))
        let first = bench.connect()
        bench.pass(.milliseconds(2500))
        #expect(first.news() == ["request /a 'ab' end", "cancelled: late"])
        #expect(client.news() == [] && bench.connector.dials.count == 2)
        bench.connect(1)
        bench.pass(.milliseconds(2000))
        // The third one is never connected.
        #expect(client.news() == [] && bench.connector.dials.count == 3)
        bench.pass(.milliseconds(1000))
        #expect(client.news() == ["reply 504 upstream_timeout", "ended"])
        #expect(bench.outcomes == [.upstreamFailed, .upstreamFailed, .callOver])
    }

    @Test("the time of the call runs while its first connection is waited for")
    func connecting() throws {
        let bench = try Bench()
        let client = bench.begin(by: Self.action(.serverError, call: .seconds(1)))
        let late = bench.begin(Self.post, isComplete: false, by: Self.action(.serverError, call: .seconds(1)))
        bench.pass(.milliseconds(800))
        late.send("ab", isComplete: true)
        bench.pass(.milliseconds(700))
        #expect(client.news() == ["reply 504 upstream_timeout", "ended"])
        #expect(late.news() == ["stops reading"])
        bench.pass(.milliseconds(800))
        #expect(late.news() == ["reply 504 upstream_timeout", "ended"])
    }

    @Test("who had all the time that the route gives its calls is to blame")
    func fair() throws {
        let bench = try Bench()
        bench.begin(by: Self.action(.serverError, call: .milliseconds(500)))
        bench.connect()
        bench.pass(.milliseconds(1100))
        #expect(bench.outcomes == [.upstreamFailed] && bench.healths == ["response"])
    }
}
