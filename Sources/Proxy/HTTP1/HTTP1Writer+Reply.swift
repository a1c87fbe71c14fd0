// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import NIOCore

/// The answers that mesher makes itself.
extension HTTP1Writer {
    /// Appends a complete response.
    ///
    /// - Parameter method: The request's method; to HEAD the body is left out and its length stated.
    /// - Parameter date: When it was made; see ``HTTPDate``.
    static func write(
        _ reply: LocalReply, to method: HTTPMethod, connection: ConnectionField, date: HeaderLine? = nil,
        to out: inout ByteBuffer
    ) {
        out.writeString("HTTP/1.1 \(reply.status) \(Self.reasonPhrase(reply.status))\r\n")
        if let date, !reply.headers.contains(where: { $0.name.lowercased() == "date" }) { out.writeBytes(date.bytes) }
        var head = ""
        if reply.bodyLength > 0 { head += "Content-Type: \(reply.contentType)\r\n" }
        // RFC 9110 §8.6: none with 204, and with 304 only the length that another answer would have.
        if reply.status != 204, reply.status != 304 { head += "Content-Length: \(reply.bodyLength)\r\n" }
        if let reason = reply.reason { head += "x-mesher-error: \(reason.rawValue)\r\n" }
        for header in reply.headers { head += "\(header.name): \(header.value)\r\n" }
        switch connection {
        case .close: head += "Connection: close\r\n"
        case .keepAlive: head += "Connection: keep-alive\r\n"
        case .none, .upgrade: break
        }
        out.writeString(head + "\r\n")
        guard method != .head else { return }
        if let octets = reply.octets { out.writeBytes(octets) } else { out.writeString(reply.body) }
    }
}
