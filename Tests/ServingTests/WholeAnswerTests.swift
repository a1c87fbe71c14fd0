// SPDX-License-Identifier: Apache-2.0

import AsyncHTTPClient
import NIOCore
import NIOHTTP1
import NIOPosix
import Serving
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(1))) struct WholeAnswerTests {
    private func call(
        _ answer: String, limit: Int = 5, timeout: Duration = .seconds(20), cutsBody: Bool = false
    ) async throws -> HTTPClient.WholeAnswer {
        let origin = try await TestOrigin.start { _ in answer }
        let client = HTTPClient(eventLoopGroupProvider: .shared(MultiThreadedEventLoopGroup.singleton))
        let request = HTTPClientRequest(url: "http://127.0.0.1:\(origin.port)/")
        let result: Result<HTTPClient.WholeAnswer, any Error>
        do {
            result = .success(
                try await client.whole(request, limit: limit, timeout: timeout, cutsBody: cutsBody))
        } catch {
            result = .failure(error)
        }
        try await client.shutdown()
        await origin.stop()
        return try result.get()
    }

    @Test("is the status, the fields and the body")
    func whole() async throws {
        let answer = try await self.call("HTTP/1.1 201 Made\r\nX-A: b\r\nContent-Length: 5\r\n\r\nhello")
        #expect(answer.status == 201 && answer.headers["x-a"] == ["b"])
        #expect(String(decoding: answer.body, as: UTF8.self) == "hello")
    }

    @Test("has to come in time, its body too", arguments: ["", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe"])
    func late(answer: String) async throws {
        await #expect(throws: HTTPClientError.deadlineExceeded) {
            try await self.call(answer, timeout: .milliseconds(300))
        }
    }

    @Test("is not longer than allowed, or cut off there")
    func long() async throws {
        let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhell\r\n4\r\no wo\r\n"
        await #expect(throws: NIOTooManyBytesError.self) { try await self.call(answer) }
        let cut = try await self.call(answer, cutsBody: true)
        #expect(String(decoding: cut.body, as: UTF8.self) == "hello")
    }
}
