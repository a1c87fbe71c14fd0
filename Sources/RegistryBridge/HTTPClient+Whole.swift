// SPDX-License-Identifier: Apache-2.0

import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1

extension HTTPClient {
    /// An answer with all of its body.
    struct WholeAnswer: Sendable {
        let status: Int
        let headers: HTTPHeaders
        let body: Data
    }

    /// Makes a call and takes the whole answer.
    ///
    /// The library's own deadline ends with the head; this one covers the body too, so that a dripping answer cannot hold
    /// anything for long.
    ///
    /// - Parameter limit: The most bytes that a body may have; `NIOTooManyBytesError` beyond.
    func whole(_ request: HTTPClientRequest, limit: Int, timeout: Duration) async throws -> WholeAnswer {
        try await withThrowingTaskGroup(of: WholeAnswer.self) { group in
            group.addTask {
                let response = try await self.execute(request, timeout: TimeAmount(timeout))
                let body = try await response.body.collect(upTo: limit)
                return WholeAnswer(
                    status: Int(response.status.code), headers: response.headers, body: Data(body.readableBytesView))
            }
            group.addTask {
                try await _Concurrency.Task.sleep(for: timeout)
                throw HTTPClientError.deadlineExceeded
            }
            defer { group.cancelAll() }
            guard let answer = try await group.next() else { throw CancellationError() }
            return answer
        }
    }
}
