// SPDX-License-Identifier: Apache-2.0

package import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import NIOEmbedded
package import Serving
import Synchronization

/// An answer of a server of ours, its body read to the end.
package struct Answer: Sendable {
    /// The status.
    package let status: Int
    /// The fields.
    package let headers: HTTPFields
    /// The body.
    package let body: [UInt8]

    /// The body as UTF-8.
    package var text: String { String(decoding: self.body, as: UTF8.self) }
    /// The content type.
    package var type: String? { self.headers[.contentType] }
}

extension EndpointTable {
    /// Asks without a socket.
    package func ask(
        _ method: HTTPRequest.Method, _ path: String, host: String? = "localhost:30102", _ headers: HTTPFields = [:],
        body: String = ""
    ) async throws -> Answer {
        let head = HTTPRequest(method: method, scheme: "http", authority: host, path: path, headerFields: headers)
        let request = Request(head: head, body: .init(buffer: ByteBuffer(string: body)))
        let context = BasicRequestContext(
            source: .init(channel: EmbeddedChannel(), logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }))
        let response = try await self.respond(to: request, context: context)
        let written = Mutex<[UInt8]>([])
        let sink = Sink { bytes in written.withLock { $0 += bytes } }
        try await response.body.write(sink)
        return Answer(status: response.status.code, headers: response.headers, body: written.withLock { $0 })
    }

    private struct Sink: ResponseBodyWriter {
        let take: @Sendable ([UInt8]) -> Void

        mutating func write(_ buffer: ByteBuffer) async throws { self.take(Array(buffer.readableBytesView)) }
        consuming func finish(_ trailingHeaders: HTTPFields?) async throws {}
    }
}
