// SPDX-License-Identifier: Apache-2.0

package import AsyncHTTPClient
package import FoundationEssentials
import NIOCore
package import NIOHTTP1
import Synchronization

extension HTTPClient {
    /// An answer with all of its body.
    package struct WholeAnswer: Sendable {
        /// The status code.
        package let status: Int
        /// The fields of its head.
        package let headers: HTTPHeaders
        /// As long as the caller allows.
        package let body: Data
    }

    /// Makes a call and takes the whole answer.
    ///
    /// The library's own deadline ends with the head; this one covers the body too, so that a dripping answer cannot hold
    /// anything for long.
    ///
    /// - Parameter limit: The most bytes that a body may have; `NIOTooManyBytesError` beyond.
    /// - Parameter silence: The longest that nothing of a body may come, for calls whose head takes its time.
    /// - Parameter cutsBody: Whether a longer body is cut off at the limit instead.
    /// - Throws: `HTTPClientError.deadlineExceeded` when the answer has not ended in `timeout`; what the library throws.
    package func whole(
        _ request: HTTPClientRequest, limit: Int, timeout: Duration, silence: Duration? = nil, cutsBody: Bool = false
    ) async throws -> WholeAnswer {
        try await Self.within(timeout) {
            let response = try await self.execute(request, timeout: TimeAmount(timeout))
            let body = try await Self.collect(response.body, limit, silence, cutsBody: cutsBody)
            return WholeAnswer(
                status: Int(response.status.code), headers: response.headers, body: Data(body.readableBytesView))
        }
    }

    private static func collect(
        _ body: HTTPClientResponse.Body, _ limit: Int, _ silence: Duration?, cutsBody: Bool
    ) async throws -> ByteBuffer {
        let progress = Progress()
        return try await withThrowingTaskGroup(of: ByteBuffer.self) { group in
            group.addTask {
                var whole = ByteBuffer()
                for try await var piece in body {
                    let rest = limit - whole.readableBytes
                    if piece.readableBytes > rest {
                        guard cutsBody else { throw NIOTooManyBytesError(maxBytes: limit) }
                        if let first = piece.readSlice(length: rest) { whole.writeImmutableBuffer(first) }
                        break
                    }
                    whole.writeBuffer(&piece)
                    progress.lastPiece.withLock { $0 = .now }
                }
                return whole
            }
            if let silence {
                group.addTask {
                    while true {
                        let end = progress.lastPiece.withLock { $0 } + silence
                        if end <= .now { throw HTTPClientError.readTimeout }
                        try await _Concurrency.Task.sleep(until: end)
                    }
                }
            }
            return try await Self.first(of: &group)
        }
    }

    /// When something of a body came last.
    private final class Progress: Sendable {
        let lastPiece = Mutex(ContinuousClock.now)
    }

    private static func within<Value: Sendable>(
        _ timeout: Duration, _ body: @escaping @Sendable () async throws -> Value
    ) async throws -> Value {
        try await withThrowingTaskGroup(of: Value.self) { group in
            group.addTask { try await body() }
            group.addTask {
                try await _Concurrency.Task.sleep(for: timeout)
                throw HTTPClientError.deadlineExceeded
            }
            return try await Self.first(of: &group)
        }
    }

    /// What the first of several tasks brings; the others are given up.
    private static func first<Value: Sendable>(
        of group: inout ThrowingTaskGroup<Value, any Error>
    ) async throws -> Value {
        defer { group.cancelAll() }
        guard let value = try await group.next() else { throw CancellationError() }
        return value
    }
}
