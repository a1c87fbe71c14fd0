// SPDX-License-Identifier: Apache-2.0
// request path

import Common
package import NIOCore

/// Writes the frames of one direction of an HTTP/2 connection.
///
/// Pure: bytes are appended to a buffer of the caller's.
///
/// - Source: RFC 9113 §4 and §6.
package enum FrameWriter {
    /// Appends the first nine bytes of a frame.
    @inline(__always)
    package static func begin(
        _ type: HTTP2FrameType, flags: UInt8 = 0, stream: UInt32, length: Int, to out: inout ByteBuffer
    ) {
        let first = UInt32(truncatingIfNeeded: length &<< 8) | UInt32(type.rawValue)
        out.writeMultipleIntegers(first, flags, stream)
    }

    /// Appends SETTINGS.
    package static func settings(_ values: [(HTTP2Setting, Int)], to out: inout ByteBuffer) {
        Self.begin(.settings, stream: 0, length: values.count * 6, to: &out)
        for (setting, value) in values {
            out.writeMultipleIntegers(setting.rawValue, UInt32(truncatingIfNeeded: value))
        }
    }

    /// Appends the acknowledgement of SETTINGS.
    package static func settingsAck(to out: inout ByteBuffer) {
        Self.begin(.settings, flags: HTTP2Flags.ack, stream: 0, length: 0, to: &out)
    }

    /// Appends PING.
    package static func ping(_ opaque: UInt64, isAck: Bool, to out: inout ByteBuffer) {
        Self.begin(.ping, flags: isAck ? HTTP2Flags.ack : 0, stream: 0, length: 8, to: &out)
        out.writeInteger(opaque)
    }

    /// Appends RST_STREAM.
    package static func reset(_ stream: UInt32, _ code: HTTP2ErrorCode, to out: inout ByteBuffer) {
        Self.begin(.resetStream, stream: stream, length: 4, to: &out)
        out.writeInteger(code.rawValue)
    }

    /// Appends WINDOW_UPDATE; stream 0 stands for the connection.
    package static func windowUpdate(_ stream: UInt32, _ increment: Int, to out: inout ByteBuffer) {
        Self.begin(.windowUpdate, stream: stream, length: 4, to: &out)
        out.writeInteger(UInt32(truncatingIfNeeded: increment))
    }

    /// Appends GOAWAY.
    package static func goAway(lastStream: UInt32, _ code: HTTP2ErrorCode, to out: inout ByteBuffer) {
        Self.begin(.goAway, stream: 0, length: 8, to: &out)
        out.writeMultipleIntegers(lastStream, code.rawValue)
    }

    // MARK: Header blocks

    /// Appends the head of a request.
    ///
    /// - Parameter headers: Names are turned to lower case in it, as HTTP/2 has them.
    package static func request(
        _ head: RequestHead, _ headers: inout HeaderBlock, isSecure: Bool, stream: UInt32, endStream: Bool,
        encoder: inout HPACKEncoder, to out: inout ByteBuffer
    ) {
        headers.lowercaseNames()
        Self.block(stream, endStream: endStream, bound: headers.encodedBound, to: &out) { out in
            encoder.begin(&out)
            headers.withBytes(in: head.methodName) { encoder.method(head.method, $0, &out) }
            encoder.scheme(isSecure: isSecure, &out)
            Self.path(head, headers, &encoder, &out)
            if let host = headers.firstIndex(of: .host) {
                headers.withValue(at: host) { encoder.authority($0, &out) }
            } else {
                headers.withBytes(in: head.authority.whole) { encoder.authority($0, &out) }
            }
            headers.encode(with: &encoder, isRequest: true, to: &out)
            // What tells a gRPC server that nothing on the way drops its status.
            if head.flags.contains(.acceptsTrailers) {
                Self.withBytes("te") { name in
                    Self.withBytes("trailers") { encoder.field(name, $0, isSecret: false, &out) }
                }
            }
        }
    }

    private static func path(
        _ head: RequestHead, _ headers: borrowing HeaderBlock, _ encoder: inout HPACKEncoder,
        _ out: inout OutputRawSpan
    ) {
        if head.form == .asterisk {
            Self.withBytes("*") { encoder.path($0, &out) }
        } else if head.path.isEmpty {
            Self.withBytes("/") { encoder.path($0, &out) }
        } else if headers.withBytes(in: head.path, { $0.byte(at: 0) }) == .question {
            // `http://host?query` has a path all the same; rare enough to be put together.
            Array("/\(headers.string(in: head.path))".utf8).withRawSpan { encoder.path($0, &out) }
        } else {
            headers.withBytes(in: head.path) { encoder.path($0, &out) }
        }
    }

    private static func withBytes(_ text: StaticString, _ body: (RawSpan) -> Void) {
        body(unsafe RawSpan(_unsafeStart: text.utf8Start, byteCount: text.utf8CodeUnitCount))
    }

    /// Appends the head of a response.
    ///
    /// - Parameter headers: As for a request.
    /// - Parameter date: Is added where the block has none; see ``HTTPDate``.
    package static func response(
        status: Int, _ headers: inout HeaderBlock, stream: UInt32, endStream: Bool, encoder: inout HPACKEncoder,
        date: HeaderLine? = nil, to out: inout ByteBuffer
    ) {
        headers.lowercaseNames()
        Self.block(stream, endStream: endStream, bound: headers.encodedBound, to: &out) { out in
            encoder.begin(&out)
            encoder.status(status, &out)
            headers.encode(with: &encoder, isRequest: false, to: &out)
            if let date, !headers.contains(.date) { HPACKEncoder.date(date, &out) }
        }
    }

    /// Appends trailers, which end a stream.
    ///
    /// - Parameter headers: As for a request.
    package static func trailers(
        _ headers: inout HeaderBlock, stream: UInt32, encoder: inout HPACKEncoder, to out: inout ByteBuffer
    ) {
        headers.lowercaseNames()
        Self.block(stream, endStream: true, bound: headers.encodedBound, to: &out) { out in
            encoder.begin(&out)
            headers.encode(with: &encoder, isRequest: false, to: &out)
        }
    }

    /// Appends HEADERS, and CONTINUATION where the block does not fit into one frame.
    @inline(__always)
    private static func block(
        _ stream: UInt32, endStream: Bool, bound: Int, to out: inout ByteBuffer,
        _ write: (inout OutputRawSpan) -> Void
    ) {
        let start = out.writerIndex
        let flags = HTTP2Flags.endHeaders | (endStream ? HTTP2Flags.endStream : 0)
        Self.begin(.headers, flags: flags, stream: stream, length: 0, to: &out)
        out.writeWithOutputRawSpan(minimumWritableBytes: bound) { write(&$0) }
        let length = out.writerIndex - start - HTTP2.frameHeaderLength
        if length > HTTP2.maxFrameSize {
            Self.split(at: start, length, stream, endStream: endStream, &out)
        } else {
            let first = UInt32(truncatingIfNeeded: length &<< 8) | UInt32(HTTP2FrameType.headers.rawValue)
            out.setInteger(first, at: start)
        }
    }

    private static func split(
        at start: Int, _ length: Int, _ stream: UInt32, endStream: Bool, _ out: inout ByteBuffer
    ) {
        guard let block = out.getBytes(at: start + HTTP2.frameHeaderLength, length: length) else { return }
        out.moveWriterIndex(to: start)
        var offset = 0
        while offset < length {
            let count = min(HTTP2.maxFrameSize, length - offset)
            let isLast = offset + count == length
            var flags: UInt8 = isLast ? HTTP2Flags.endHeaders : 0
            if offset == 0, endStream { flags |= HTTP2Flags.endStream }
            Self.begin(
                offset == 0 ? .headers : .continuation, flags: flags, stream: stream, length: count, to: &out)
            out.writeBytes(block[offset..<offset + count])
            offset += count
        }
    }
}

extension [UInt8] {
    fileprivate func withRawSpan(_ body: (RawSpan) -> Void) { body(self.rawSpan) }
}
