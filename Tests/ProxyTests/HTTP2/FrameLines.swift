// SPDX-License-Identifier: Apache-2.0

import NIOCore

@testable import Proxy

/// Frames as a peer writes them, and a line for each that it reads.
enum Frames {
    static let preface = ByteBuffer(string: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

    static func frame(
        _ type: HTTP2FrameType, _ flags: UInt8 = 0, stream: UInt32 = 0, payload: [UInt8] = []
    ) -> ByteBuffer {
        var out = ByteBuffer()
        FrameWriter.begin(type, flags: flags, stream: stream, length: payload.count, to: &out)
        out.writeBytes(payload)
        return out
    }

    static var settings: ByteBuffer { Self.frame(.settings) }
    static var settingsAck: ByteBuffer { Self.frame(.settings, HTTP2Flags.ack) }

    static func data(_ stream: UInt32, _ text: String, endStream: Bool = false) -> ByteBuffer {
        Self.frame(.data, endStream ? HTTP2Flags.endStream : 0, stream: stream, payload: Array(text.utf8))
    }

    /// So many bytes of a body, in as few frames as they fit into.
    static func data(_ stream: UInt32, count: Int) -> ByteBuffer {
        var out = ByteBuffer()
        var left = count
        while left > 0 {
            let length = min(left, HTTP2.maxFrameSize)
            out.writeImmutableBuffer(Self.frame(.data, stream: stream, payload: Array(repeating: 0x78, count: length)))
            left -= length
        }
        return out
    }

    /// A header block of literals that no table remembers.
    static func headers(
        _ stream: UInt32, _ fields: KeyValuePairs<String, String>, endStream: Bool = false, endHeaders: Bool = true
    ) -> ByteBuffer {
        var flags = endStream ? HTTP2Flags.endStream : 0
        if endHeaders { flags |= HTTP2Flags.endHeaders }
        var block: [UInt8] = []
        for (name, value) in fields {
            block += [0, UInt8(name.utf8.count)] + Array(name.utf8) + [UInt8(value.utf8.count)] + Array(value.utf8)
        }
        return Self.frame(.headers, flags, stream: stream, payload: block)
    }

    static func post(_ stream: UInt32, length: Int? = nil, endHeaders: Bool = true) -> ByteBuffer {
        let length = length.map { "\($0)" } ?? "100000000"
        return Self.headers(
            stream,
            [
                ":method": "POST", ":scheme": "http", ":path": "/\(stream)", ":authority": "cart",
                "content-length": length,
            ],
            endHeaders: endHeaders)
    }

    static func get(_ stream: UInt32) -> ByteBuffer {
        Self.headers(
            stream, [":method": "GET", ":scheme": "http", ":path": "/\(stream)", ":authority": "cart"], endStream: true)
    }

    static func answer(_ stream: UInt32, _ text: String) -> ByteBuffer {
        Self.headers(stream, [":status": "200"]) + Self.data(stream, text, endStream: true)
    }

    /// A line for each frame; a header block is not looked into.
    static func lines(_ bytes: [ByteBuffer]) -> [String] {
        var input = ByteBuffer()
        for part in bytes { input.writeImmutableBuffer(part) }
        let preface = String(buffer: Self.preface)
        if input.getString(at: 0, length: preface.utf8.count) == preface {
            input.moveReaderIndex(forwardBy: preface.utf8.count)
        }
        let whole = ByteBuffer(bytes: Array(input.readableBytesView))
        var parser = FrameParser()
        var offset = 0
        var lines: [String] = []
        while case .frame(let frame) = parser.next(whole.readableBytesSpan, at: &offset) {
            lines.append(Self.line(frame, whole))
        }
        return lines
    }

    private static func line(_ frame: FrameParser.Frame, _ bytes: ByteBuffer) -> String {
        switch frame {
        case .data(let stream, let range, _, let endStream):
            let text = bytes.getString(at: range.lowerBound, length: range.count) ?? ""
            return "DATA \(stream) '\(text)'" + (endStream ? " end" : "")
        case .headers(let stream, _, let endStream, _): return "HEADERS \(stream)" + (endStream ? " end" : "")
        case .continuation(let stream, _, _): return "CONTINUATION \(stream)"
        case .priority(let stream): return "PRIORITY \(stream)"
        case .resetStream(let stream, let code): return "RST_STREAM \(stream) \(Self.name(code))"
        case .settings: return "SETTINGS"
        case .settingsAck: return "SETTINGS ack"
        case .ping: return "PING"
        case .pingAck: return "PING ack"
        case .goAway(let last, let code):
            return "GOAWAY \(last == HTTP2.maxStreamID ? "-" : "\(last)") \(Self.name(code))"
        case .windowUpdate(let stream, let increment): return "WINDOW_UPDATE \(stream) \(increment)"
        case .unknown: return "unknown"
        }
    }

    private static func name(_ code: UInt32) -> String {
        HTTP2ErrorCode(rawValue: code).map { "\($0)" } ?? "\(code)"
    }
}

func + (first: ByteBuffer, second: ByteBuffer) -> ByteBuffer {
    var out = first
    out.writeImmutableBuffer(second)
    return out
}

extension WiredChannel {
    /// What went out since the last time, frame by frame.
    func frames() -> [String] { Frames.lines(self.wire.bytes()) }
}
