// SPDX-License-Identifier: Apache-2.0
// request path

import Common
package import NIOCore

/// Writes HTTP/1.1 messages from heads and header blocks.
///
/// Pure: bytes are appended to a buffer of the caller's.
package enum HTTP1Writer {
    /// How the body of a message is delimited on the wire.
    package enum Framing: UInt8, Sendable {
        /// By the head: there is none, or its length stands in a `Content-Length` that is forwarded as it came.
        case byHead
        /// By the chunked coding, which the writer adds.
        case chunked
        /// By the end of the connection: to HTTP/1.0 clients only.
        case untilClose
    }

    /// What a response head says about the connection.
    package enum ConnectionField: UInt8, Sendable {
        case none
        /// For HTTP/1.0 clients that asked for it.
        case keepAlive
        case close
        /// With the `Upgrade: websocket` of a 101.
        case upgrade
    }

    /// Appends a request head, up to and including the blank line.
    ///
    /// - Parameter isUpgrade: Whether to ask for a WebSocket; the client's own `Upgrade` was removed as hop-by-hop.
    package static func write(
        _ head: RequestHead, _ headers: borrowing HeaderBlock, framing: Framing, isUpgrade: Bool,
        to out: inout ByteBuffer
    ) {
        out.writeWithOutputRawSpan(minimumWritableBytes: headers.writtenBound + Self.additions) { out in
            headers.copy(head.methodName.range, to: &out)
            if head.form == .asterisk {
                out.append(" *")
            } else {
                // `http://host` and `http://host?query` have a path all the same.
                let needsSlash =
                    head.form == .absolute
                    && (head.path.isEmpty || headers.withBytes(in: head.path) { $0.byte(at: 0) } == .question)
                out.append(needsSlash ? " /" : " ")
                headers.copy(head.path.range, to: &out)
            }
            out.append(" HTTP/1.1\r\n")
            headers.write(to: &out)
            if isUpgrade { out.append("Connection: Upgrade\r\nUpgrade: websocket\r\n") }
            out.append(framing == .chunked ? "Transfer-Encoding: chunked\r\n\r\n" : "\r\n")
        }
    }

    /// Appends a response head, up to and including the blank line.
    ///
    /// - Parameter date: Is added where the block has none; see ``HTTPDate``.
    package static func write(
        _ head: ResponseHead, _ headers: borrowing HeaderBlock, framing: Framing, connection: ConnectionField,
        date: HeaderLine? = nil, to out: inout ByteBuffer
    ) {
        out.writeWithOutputRawSpan(minimumWritableBytes: headers.writtenBound + Self.additions) { out in
            Self.writeStatusLine(head.status, to: &out)
            if head.flags.contains(.http2) {
                out.append(Self.reasonPhrase(head.status))
            } else {
                headers.copy(head.reason.range, to: &out)
            }
            out.append("\r\n")
            headers.write(to: &out)
            if let date, !headers.contains(.date) { out.append(date.bytes.rawSpan) }
            Self.write(connection, to: &out)
            out.append(framing == .chunked ? "Transfer-Encoding: chunked\r\n\r\n" : "\r\n")
        }
    }

    /// Appends the head that opens a tunnel: the answer to a CONNECT, without a word on a body or on the connection, since
    /// neither is there any more behind it.
    ///
    /// - Parameter headers: What they say of that is removed.
    /// - Source: RFC 9110 §9.3.6; RFC 9112 §6.1.
    package static func writeTunnel(
        _ head: ResponseHead, _ headers: inout HeaderBlock, date: HeaderLine? = nil, to out: inout ByteBuffer
    ) {
        headers.removeHopByHop()
        headers.remove(.contentLength)
        Self.write(head, headers, framing: .byHead, connection: .none, date: date, to: &out)
    }

    /// More bytes than a head can get beyond those of its block.
    static let additions = 200

    /// Appends `HTTP/1.1 ddd `.
    static func writeStatusLine(_ status: Int, to out: inout OutputRawSpan) {
        out.append("HTTP/1.1 ")
        out.append(UInt8(truncatingIfNeeded: 0x30 &+ status / 100 % 10))
        out.append(UInt8(truncatingIfNeeded: 0x30 &+ status / 10 % 10))
        out.append(UInt8(truncatingIfNeeded: 0x30 &+ status % 10))
        out.append(.space)
    }

    static func write(_ connection: ConnectionField, to out: inout OutputRawSpan) {
        switch connection {
        case .none: break
        case .keepAlive: out.append("Connection: keep-alive\r\n")
        case .close: out.append("Connection: close\r\n")
        case .upgrade: out.append("Connection: Upgrade\r\nUpgrade: websocket\r\n")
        }
    }

    /// Appends the line before the data of a chunk; the data and a CRLF must follow.
    package static func writeChunkSize(_ size: Int, to out: inout ByteBuffer) {
        var shift = max(0, (63 &- size.leadingZeroBitCount) / 4 &* 4)
        while shift >= 0 {
            let digit = UInt8(truncatingIfNeeded: size &>> shift) & 15
            out.writeInteger(digit < 10 ? digit &+ 0x30 : digit &+ 0x57)
            shift &-= 4
        }
        out.writeStaticString("\r\n")
    }

    /// Appends the end of a chunked body.
    static func writeLastChunk(_ trailers: borrowing HeaderBlock, to out: inout ByteBuffer) {
        out.writeWithOutputRawSpan(minimumWritableBytes: trailers.writtenBound + Self.additions) { out in
            out.append("0\r\n")
            trailers.write(to: &out)
            out.append("\r\n")
        }
    }
}
