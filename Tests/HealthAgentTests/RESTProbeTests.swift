// SPDX-License-Identifier: Apache-2.0

import AsyncHTTPClient
import Common
import NIOPosix
import TestSupport
import Testing

@testable import HealthAgent

@Suite(.timeLimit(.minutes(1))) struct RESTProbeTests {
    @Test(
        "judges the first answer by status and body",
        arguments: [
            ("200 OK", "all ok", nil, nil, nil), ("302 Found", "", nil, nil, nil),
            ("500 Bad", "", nil, nil, "status is 500"), ("404 Gone", "", 404, nil, nil),
            ("200 OK", "", 204, nil, "status is not 204 but 200"), ("200 OK", "all ok", nil, "o[kx]", nil),
            ("500 Bad", "ok", nil, "^ok$", nil), ("200 OK", "ok", 200, "^no", "body does not match ^no"),
        ] as [(String, String, Int?, String?, String?)])
    func judges(status: String, body: String, wanted: Int?, pattern: String?, failure: String?) async throws {
        let origin = try await TestOrigin.start { head in
            head.hasPrefix("GET /health?x=1 HTTP/1.1\r\n")
                ? "HTTP/1.1 \(status)\r\nLocation: /other\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
                : "HTTP/1.1 599 Other\r\nContent-Length: 0\r\n\r\n"
        }
        let expectation = HealthCheckConfig.Expectation(
            status: wanted, body: try pattern.map { text throws(ConfigMistake) in try RegularExpression(text) })
        #expect(try await self.check(origin.port, expectation) == failure)
        await origin.stop()
    }

    @Test("has failed without an answer in time, without one at all, and with an endless body")
    func failures() async throws {
        let silent = try await TestOrigin.start { _ in "" }
        let limit = Duration.milliseconds(500)
        #expect(try await self.check(silent.port, .init(), within: limit)?.hasPrefix("no answer from port") == true)
        await silent.stop()
        #expect(try await self.check(silent.port, .init())?.hasPrefix("no answer from port") == true)
        let long = try await TestOrigin.start { _ in
            "HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n" + String(repeating: "x", count: 2_000_000)
        }
        let expectation = HealthCheckConfig.Expectation(body: try RegularExpression("x"))
        #expect(try await self.check(long.port, expectation) == "the body is longer than 1048576 bytes")
        await long.stop()
    }

    @Test("has failed when the body does not end in time, whether or not it is looked at", arguments: [nil, "x"])
    func hangingBody(pattern: String?) async throws {
        let origin = try await TestOrigin.start { _ in "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx" }
        let expectation = HealthCheckConfig.Expectation(
            body: try pattern.map { text throws(ConfigMistake) in try RegularExpression(text) })
        let failure = try await self.check(origin.port, expectation, within: .milliseconds(500))
        #expect(failure?.hasPrefix("no answer from port \(origin.port): no whole answer within ") == true)
        await origin.stop()
    }

    @Test("looks at no body longer than 1 MiB where none is expected")
    func longBody() async throws {
        let origin = try await TestOrigin.start { _ in
            "HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n" + String(repeating: "x", count: 2_000_000)
        }
        #expect(try await self.check(origin.port, .init()) == nil)
        await origin.stop()
    }

    /// - Parameter limit: Long where an answer comes: on a busy machine it may take its time.
    private func check(
        _ port: Int, _ expectation: HealthCheckConfig.Expectation, within limit: Duration = .seconds(10)
    ) async throws -> String? {
        let client = HTTPClient(
            eventLoopGroupProvider: .shared(MultiThreadedEventLoopGroup.singleton),
            configuration: .init(redirectConfiguration: .disallow))
        let probe = RESTProbe(
            port: try #require(UInt16(exactly: port)), path: "/health?x=1", expectation: expectation,
            timeout: limit, client: client)
        let failure = await probe.check()
        try await client.shutdown()
        return failure
    }
}
