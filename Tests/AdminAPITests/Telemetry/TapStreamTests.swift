// SPDX-License-Identifier: Apache-2.0

import Common
import Foundation
import HTTPTypes
import NIOCore
import Serving
import Synchronization
import TestSupport
import Testing

@testable import AdminAPI

/// What `/v1/mesher/tap` answers, and to whom.
@Suite(.serialized) struct TapStreamTests {
    private static let path = "/v1/mesher/tap"

    /// What the loops have for each look, the filters that were asked for, and how many have gone.
    private final class Loops: Sendable {
        private let state: Mutex<(portions: [[ExchangeRecords]], filters: [TapFilter], ends: Int)>

        init(_ portions: [[ExchangeRecords]]) { self.state = Mutex((portions, [], 0)) }

        var filters: [TapFilter] { self.state.withLock { $0.filters } }
        var ends: Int { self.state.withLock { $0.ends } }

        func tap(_ filter: TapFilter) -> RequestTap {
            self.state.withLock { $0.filters.append(filter) }
            return RequestTap(
                fetch: { self.state.withLock { $0.portions.isEmpty ? [] : $0.portions.removeFirst() } },
                end: { self.state.withLock { $0.ends += 1 } })
        }
    }

    private func table(_ loops: Loops, _ yaml: String = "") throws -> EndpointTable {
        try AdminSupport(yaml, tap: { loops.tap($0) }).table
    }

    private func lines(_ answer: Answer) throws -> [[String: Any]] {
        try answer.text.split(separator: "\n").map { try object($0.utf8) }
    }

    @Test("a line for each request, and for what is missing, until there are enough")
    func lines() async throws {
        let first = ended(target: "/one?token=hush") { $0.service = service("cart") }
        let second = try ended(.provider, method: "POST", target: "/two", host: "web:80") { record in
            (record.status, record.reason, record.attempts, record.caller) = (502, .connectFailed, 3, "shop")
            record.endpoint = try Endpoint("rest://10.0.0.5:8080")
            record.trace = TraceContext(traceHigh: 1, traceLow: 2, span: 3, isSampled: false)
        }
        let full = ExchangeRecords(second.records, text: second.text, dropped: 7)
        let more = ended(target: "/more")
        let loops = Loops([[], [first], [full], [more, more]])
        let answer = try await self.table(loops).ask(.get, "\(Self.path)?count=3&service=web&status=5xx&path=%2Fa%20b")
        #expect(answer.status == 200 && answer.type == "application/x-ndjson")
        // The first line is empty: from then on nothing is missed.
        #expect(answer.text.hasPrefix("\n{") && !answer.text.contains("hush"))
        let lines = try self.lines(answer)
        #expect(lines.count == 4 && lines.map { $0["path"] as? String } == ["/one", "/two", nil, "/more"])
        #expect(lines[0]["service"] as? String == "cart" && lines[0]["direction"] as? String == "outgoing")
        #expect(
            Set(lines[0].keys) == [
                "time", "direction", "method", "path", "service", "status", "milliseconds", "attempts",
            ])
        #expect(lines[1]["service"] as? String == "web" && lines[1]["caller"] as? String == "shop")
        #expect(lines[1]["endpoint"] as? String == "rest://10.0.0.5:8080" && lines[1]["attempts"] as? Int == 3)
        #expect(lines[1]["reason"] as? String == "connect_failed" && lines[1]["milliseconds"] as? Double == 12.345)
        #expect(lines[1]["traceId"] as? String == "00000000000000010000000000000002")
        #expect(lines[2]["dropped"] as? Int == 7)
        var filter = try TapFilter(service: "web", status: "5xx", path: "/a b")
        filter.isOwnService = true
        #expect(loops.filters == [filter] && loops.ends == 1)
    }

    @Test("requests of several loops are in the order in which they ended")
    func order() throws {
        func at(_ milliseconds: Int64, _ path: String) -> ExchangeRecords {
            ended(target: path) { $0.startedAt = .uptimeNanoseconds(0) + .milliseconds(milliseconds) }
        }
        var rest = 3
        let lines = try TapStream.lines(
            [at(30, "/c"), at(10, "/a"), at(20, "/b"), at(40, "/d")], own: "web", rest: &rest)
        let paths = try String(buffer: lines).split(separator: "\n").map { try object($0.utf8)["path"] as? String }
        #expect(paths == ["/a", "/b", "/c"] && rest == 0)
    }

    @Test(
        "what makes no sense is refused in words",
        arguments: [
            ("status=oops", "oops is no status"), ("path=a", "write /a"), ("path=/a%3Fx", "queries are neither"),
            ("count=0", "count is 1 to"), ("count=many", "count is 1 to"), ("count=9999999", "count is 1 to"),
        ])
    func mistakes(query: String, words: String) async throws {
        let loops = Loops([])
        let answer = try await self.table(loops).ask(.get, "\(Self.path)?\(query)")
        #expect(answer.status == 400 && answer.text.contains(words) && loops.filters.isEmpty)
    }

    @Test("where there is a token it has to be shown")
    func token() async throws {
        let loops = Loops([[ended()]])
        let table = try self.table(loops, "mesher.admin.token: t0p")
        for token in [nil, "Bearer t0px"] {
            let answer = try await table.ask(.get, Self.path, token.map { [.authorization: $0] } ?? [:])
            #expect(answer.status == 401 && loops.filters.isEmpty)
        }
        let answer = try await table.ask(.get, "\(Self.path)?count=1", [.authorization: "Bearer t0p"])
        #expect(answer.status == 200 && loops.filters.count == 1)
    }

    @Test("HEAD watches nothing")
    func head() async throws {
        let loops = Loops([])
        let answer = try await self.table(loops).ask(.head, Self.path)
        #expect(answer.status == 200 && answer.body.isEmpty && loops.filters.isEmpty)
    }

    @Test("it ends when the process stops")
    func stopping() async throws {
        let support = try AdminSupport()
        support.readiness.beginStopping()
        #expect(try await support.table.ask(.get, Self.path).text == "\n")
    }

    @Test("there are so many places, and each is given back once")
    func places() throws {
        let places = WatcherPlaces(2)
        let first = try places.take()
        var second: WatcherPlaces.Place? = try places.take()
        #expect(second != nil)
        let refusal = #expect(throws: Refusal.self) { try places.take() }
        #expect(refusal?.status == .serviceUnavailable && refusal?.text == "2 are watching already")
        second = nil
        first.leave()
        first.leave()
        let third = try places.take()
        let fourth = try places.take()
        #expect(throws: Refusal.self) { try places.take() }
        withExtendedLifetime([first, third, fourth]) {}
    }
}
