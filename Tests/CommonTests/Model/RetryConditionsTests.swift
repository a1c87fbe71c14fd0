// SPDX-License-Identifier: Apache-2.0

import Common
import Testing

@Suite struct RetryConditionsTests {
    private typealias Silence = RetryConditions.Silence

    @Test(
        "how a try came to no answer is told apart",
        arguments: [
            ("5xx", Silence.allCases), ("gateway-error", Silence.allCases), ("reset", Silence.allCases),
            ("reset-before-request", [.connectFailed, .unsent]), ("connect-failure", [.connectFailed]),
            ("refused-stream", [.refusedStream]), ("retriable-4xx", []), ("retriable-status-codes", []),
            ("envoy-ratelimited", []), ("cancelled", []), ("deadline-exceeded", []), ("internal", []),
            ("resource-exhausted", []), ("unavailable", []),
        ])
    func silences(name: String, expected: [RetryConditions.Silence]) throws {
        let condition = try #require(RetryConditions(name))
        #expect(Silence.allCases.filter { condition.includes($0) } == expected)
        #expect(condition.description == name)
    }

    @Test(
        "statuses are those of the condition alone",
        arguments: [
            ("5xx", [500, 501, 502, 503, 504, 505, 599], []), ("gateway-error", [502, 503, 504], []),
            ("retriable-4xx", [409], []), ("reset", [], []), ("connect-failure", [], []),
            ("cancelled", [], [1]), ("deadline-exceeded", [], [4]), ("resource-exhausted", [], [8]),
            ("internal", [], [13]), ("unavailable", [], [14]),
        ] as [(String, [Int], [Int])])
    func statuses(name: String, statuses: [Int], codes: [Int]) throws {
        let condition = try #require(RetryConditions(name))
        let all = [200, 404, 409, 429, 499, 500, 501, 502, 503, 504, 505, 599]
        #expect(all.filter { condition.includes(status: $0) } == statuses)
        #expect((0...16).filter { condition.includes(status: 200, grpcStatus: $0) } == codes)
    }

    @Test("listed statuses count by their condition only; what is not known is no condition")
    func lists() {
        #expect(RetryConditions.statuses.includes(status: 418, isListed: true))
        #expect(!RetryConditions.statuses.includes(status: 418))
        #expect(!RetryConditions.reset.includes(status: 418, isListed: true))
        #expect(RetryConditions("retriable-header") == nil && RetryConditions("") == nil)
        #expect(Set(RetryConditions.names.map(\.condition)).count == RetryConditions.names.count)
    }

    @Test("what control planes ask for by default repeats no answer of HTTP")
    func usual() {
        let usual: RetryConditions = [.connectFailure, .refusedStream, .grpcUnavailable, .grpcCancelled, .statuses]
        #expect(!usual.includes(status: 503) && usual.includes(status: 200, grpcStatus: 14))
        #expect([Silence.connectFailed, .refusedStream].allSatisfy { usual.includes($0) })
        #expect([Silence.reset, .late, .unsent].allSatisfy { !usual.includes($0) })
    }
}
