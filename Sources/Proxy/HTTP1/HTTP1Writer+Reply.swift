// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import NIOCore

/// The answers that mesher makes itself.
extension HTTP1Writer {
    /// Appends a complete response.
    ///
    /// - Parameter method: The request's method; to HEAD the body is left out and its length stated.
    static func write(
        _ reply: LocalReply, to method: HTTPMethod, connection: ConnectionField, to out: inout ByteBuffer
    ) {
        var head = "HTTP/1.1 \(reply.status) \(Self.reasonPhrase(reply.status))\r\n"
        if !reply.body.isEmpty { head += "Content-Type: text/plain; charset=utf-8\r\n" }
        head += "Content-Length: \(reply.body.utf8.count)\r\n"
        if let reason = reply.reason { head += "x-mesher-error: \(reason.rawValue)\r\n" }
        for header in reply.headers { head += "\(header.name): \(header.value)\r\n" }
        switch connection {
        case .close: head += "Connection: close\r\n"
        case .keepAlive: head += "Connection: keep-alive\r\n"
        case .none, .upgrade: break
        }
        out.writeString(head + "\r\n")
        if method != .head { out.writeString(reply.body) }
    }

    /// The phrase of a status that mesher answers with; empty for one that only configuration can have chosen.
    ///
    /// - Source: RFC 9110 §15.
    private static func reasonPhrase(_ status: Int) -> String {
        switch status {
        case 200: "OK"
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 408: "Request Timeout"
        case 414: "URI Too Long"
        case 417: "Expectation Failed"
        case 429: "Too Many Requests"
        case 431: "Request Header Fields Too Large"
        case 500: "Internal Server Error"
        case 501: "Not Implemented"
        case 502: "Bad Gateway"
        case 503: "Service Unavailable"
        case 504: "Gateway Timeout"
        case 505: "HTTP Version Not Supported"
        case 508: "Loop Detected"
        default: ""
        }
    }
}
