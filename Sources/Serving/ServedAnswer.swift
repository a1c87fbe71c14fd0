// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials
package import HTTPTypes
package import HummingbirdCore
package import NIOCore

/// Answers of servers of ours.
package enum ServedAnswer {
    /// A text.
    package static func text(
        _ text: String, type: String = "text/plain; charset=utf-8", status: HTTPResponse.Status = .ok
    ) -> Response {
        Self.bytes(Array(text.utf8), type: type, status: status)
    }

    /// Bytes of some type.
    package static func bytes(_ bytes: [UInt8], type: String, status: HTTPResponse.Status = .ok) -> Response {
        Self.buffer(ByteBuffer(bytes: bytes), type: type, status: status)
    }

    /// Bytes that other answers have too: none of them copies them.
    package static func buffer(
        _ buffer: ByteBuffer, type: String, status: HTTPResponse.Status = .ok
    ) -> Response {
        Response(status: status, headers: [.contentType: type], body: ResponseBody(byteBuffer: buffer))
    }

    /// A document; its members are in the order of their names.
    package static func json(
        _ body: some Encodable, type: String = "application/json", status: HTTPResponse.Status = .ok
    ) throws -> Response {
        Self.bytes(try Self.document(body), type: type, status: status)
    }

    /// The bytes of a document.
    package static func document(_ body: some Encodable) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return Array(try encoder.encode(body))
    }

    private struct Problem: Encodable {
        let error: String
        let remedy: String?
    }

    /// What is wrong with a request, as a document.
    package static func error(_ status: HTTPResponse.Status, _ text: String, remedy: String? = nil) -> Response {
        (try? Self.json(Problem(error: text, remedy: remedy), status: status)) ?? Response(status: status)
    }
}
