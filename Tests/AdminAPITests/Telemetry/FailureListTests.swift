// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import Testing

@testable import AdminAPI

@Suite struct FailureListTests {
    private func add(_ records: ExchangeRecords, to list: FailureList, at time: Int = 0) {
        for record in records.records { list.add(record, of: records, at: time) }
    }

    @Test("the newest hundred are kept, newest first")
    func capacity() {
        let list = FailureList()
        #expect(list.newestFirst.isEmpty)
        for number in 0..<105 { self.add(ended(target: "/\(number)"), to: list) }
        #expect(list.newestFirst.map(\.path) == (5..<105).reversed().map { "/\($0)" })
    }

    @Test("has what an operator asks for")
    func members() throws {
        let list = FailureList()
        let records = try ended(method: "PUT", target: "/items?x=1") { record in
            (record.status, record.reason, record.attempts) = (502, .connectFailed, 2)
            record.service = service("cart")
            record.endpoint = try Endpoint("rest://[fd00::1]:8080")
            record.trace = TraceContext(traceHigh: 1, traceLow: 2, span: 3, isSampled: false)
        }
        self.add(records, to: list, at: 1_700_000_000_500_000)
        let failure = try #require(list.newestFirst.first)
        #expect(failure.time == 1_700_000_000.5 && failure.direction == "outgoing" && failure.service == "cart")
        #expect(failure.method == "PUT" && failure.path == "/items" && failure.status == 502)
        #expect(failure.reason == "connect_failed" && failure.text == "no connection to the instance could be made")
        #expect(failure.endpoint == "rest://[fd00::1]:8080" && failure.attempts == 2)
        #expect(failure.traceId == "00000000000000010000000000000002" && failure.milliseconds == 12.345)
    }

    @Test(
        "an answer of the instance is told by its status",
        arguments: [
            (503, nil, "answered_503", "the instance answered with status 503"),
            (200, 14, "answered_200", "the instance answered with gRPC status 14"),
            (500, 0, "answered_500", "the instance answered with status 500"),
        ] as [(Int, Int?, String, String)])
    func answers(status: Int, grpc: Int?, reason: String, text: String) throws {
        let list = FailureList()
        self.add(ended(.provider) { ($0.status, $0.grpcStatus) = (status, grpc) }, to: list)
        let failure = try #require(list.newestFirst.first)
        #expect(failure.direction == "incoming" && failure.reason == reason && failure.text == text)
        #expect(failure.endpoint == nil && failure.traceId == nil)
    }

    @Test("a service that nobody knows goes by the host, and a path is cut")
    func unknown() throws {
        let list = FailureList()
        self.add(ended(target: "/" + String(repeating: "a", count: 500), host: "nowhere:80"), to: list)
        let failure = try #require(list.newestFirst.first)
        #expect(failure.service == "nowhere:80")
        #expect(failure.path == "/" + String(repeating: "a", count: 299))
    }
}
