// SPDX-License-Identifier: Apache-2.0
// request path

import Common

/// Takes the frames of one direction of an HTTP/2 connection apart.
///
/// Pure.
///
/// It checks what a frame alone can be wrong about: its size, its stream, its padding, its place in a header block. What
/// it means for streams is its caller's business.
///
/// - Source: RFC 9113 §4 and §6.
package struct FrameParser {
    /// One frame; ranges are into the input.
    package enum Frame: Equatable {
        /// `flowLength` counts for flow control: the payload with its padding.
        case data(stream: UInt32, Range<Int>, flowLength: Int, endStream: Bool)
        /// A fragment of a header block, or the whole of it.
        case headers(stream: UInt32, Range<Int>, endStream: Bool, endHeaders: Bool)
        case continuation(stream: UInt32, Range<Int>, endHeaders: Bool)
        case priority(stream: UInt32)
        case resetStream(stream: UInt32, code: UInt32)
        /// Six bytes for each parameter.
        case settings(Range<Int>)
        case settingsAck
        case ping(Range<Int>)
        case pingAck(Range<Int>)
        case goAway(lastStream: UInt32, code: UInt32)
        /// On stream 0 for the connection.
        case windowUpdate(stream: UInt32, increment: Int)
        /// Of a type that nobody knows: ignored.
        case unknown
    }

    /// What came next.
    package enum Event: Equatable {
        case frame(Frame)
        /// The frame is not complete.
        case incomplete
        /// The connection ends with this.
        case connectionError(HTTP2ErrorCode)
        /// The stream ends with this; the frame is done with.
        case streamError(UInt32, HTTP2ErrorCode)
    }

    /// The stream whose header block is not complete: nothing but its continuation may follow.
    private var openBlock: UInt32 = 0

    /// A parser at the beginning of a frame.
    package init() {}

    /// Reads the frame at `offset`, which is moved behind it.
    @inline(__always)
    package mutating func next(_ input: RawSpan, at offset: inout Int) -> Event {
        guard input.byteCount &- offset >= HTTP2.frameHeaderLength else { return .incomplete }
        let word = input.word(at: offset)
        let length =
            Int(word & 0xff) &<< 16 | Int(word &>> 8 & 0xff) &<< 8 | Int(word &>> 16 & 0xff)
        let type = UInt8(truncatingIfNeeded: word &>> 24)
        let flags = UInt8(truncatingIfNeeded: word &>> 32)
        if length > HTTP2.maxFrameSize { return .connectionError(.frameSizeError) }
        let start = offset &+ HTTP2.frameHeaderLength
        let end = start &+ length
        let stream = input.uint32(at: offset &+ 5) & HTTP2.maxStreamID
        if self.openBlock != 0, type != HTTP2FrameType.continuation.rawValue || stream != self.openBlock {
            return .connectionError(.protocolError)
        }
        guard input.byteCount >= end else { return .incomplete }
        offset = end
        guard let type = HTTP2FrameType(rawValue: type) else { return .frame(.unknown) }
        return self.read(type, flags, stream, input, start..<end)
    }

    private mutating func read(
        _ type: HTTP2FrameType, _ flags: UInt8, _ stream: UInt32, _ input: RawSpan, _ payload: Range<Int>
    ) -> Event {
        switch type {
        case .data:
            guard stream != 0 else { return .connectionError(.protocolError) }
            guard let data = Self.unpadded(flags, input, payload) else { return .connectionError(.protocolError) }
            return .frame(
                .data(
                    stream: stream, data, flowLength: payload.count,
                    endStream: flags & HTTP2Flags.endStream != 0))
        case .headers: return self.readHeaders(flags, stream, input, payload)
        case .continuation:
            guard stream != 0, stream == self.openBlock else { return .connectionError(.protocolError) }
            let endHeaders = flags & HTTP2Flags.endHeaders != 0
            if endHeaders { self.openBlock = 0 }
            return .frame(.continuation(stream: stream, payload, endHeaders: endHeaders))
        case .priority:
            guard stream != 0 else { return .connectionError(.protocolError) }
            guard payload.count == 5 else { return .streamError(stream, .frameSizeError) }
            // Priorities are ignored, but a stream cannot come before itself.
            let parent = input.uint32(at: payload.lowerBound) & HTTP2.maxStreamID
            return parent == stream ? .streamError(stream, .protocolError) : .frame(.priority(stream: stream))
        case .resetStream:
            guard stream != 0 else { return .connectionError(.protocolError) }
            guard payload.count == 4 else { return .connectionError(.frameSizeError) }
            return .frame(.resetStream(stream: stream, code: input.uint32(at: payload.lowerBound)))
        case .settings:
            guard stream == 0 else { return .connectionError(.protocolError) }
            if flags & HTTP2Flags.ack != 0 {
                return payload.isEmpty ? .frame(.settingsAck) : .connectionError(.frameSizeError)
            }
            return payload.count % 6 == 0 ? .frame(.settings(payload)) : .connectionError(.frameSizeError)
        // Neither side may push: clients never do, and our SETTINGS forbid it to servers.
        case .pushPromise: return .connectionError(.protocolError)
        case .ping:
            guard stream == 0 else { return .connectionError(.protocolError) }
            guard payload.count == 8 else { return .connectionError(.frameSizeError) }
            return .frame(flags & HTTP2Flags.ack != 0 ? .pingAck(payload) : .ping(payload))
        case .goAway:
            guard stream == 0 else { return .connectionError(.protocolError) }
            guard payload.count >= 8 else { return .connectionError(.frameSizeError) }
            return .frame(
                .goAway(
                    lastStream: input.uint32(at: payload.lowerBound) & HTTP2.maxStreamID,
                    code: input.uint32(at: payload.lowerBound &+ 4)))
        case .windowUpdate:
            guard payload.count == 4 else { return .connectionError(.frameSizeError) }
            let increment = Int(input.uint32(at: payload.lowerBound) & HTTP2.maxStreamID)
            guard increment > 0 else {
                return stream == 0 ? .connectionError(.protocolError) : .streamError(stream, .protocolError)
            }
            return .frame(.windowUpdate(stream: stream, increment: increment))
        }
    }

    private mutating func readHeaders(
        _ flags: UInt8, _ stream: UInt32, _ input: RawSpan, _ payload: Range<Int>
    ) -> Event {
        guard stream != 0, var fragment = Self.unpadded(flags, input, payload) else {
            return .connectionError(.protocolError)
        }
        if flags & HTTP2Flags.priority != 0 {
            guard fragment.count >= 5 else { return .connectionError(.frameSizeError) }
            // A block that is not read would leave the compression state behind, so the connection goes with it.
            let parent = input.uint32(at: fragment.lowerBound) & HTTP2.maxStreamID
            guard parent != stream else { return .connectionError(.protocolError) }
            fragment = fragment.lowerBound &+ 5..<fragment.upperBound
        }
        let endHeaders = flags & HTTP2Flags.endHeaders != 0
        if !endHeaders { self.openBlock = stream }
        return .frame(
            .headers(
                stream: stream, fragment, endStream: flags & HTTP2Flags.endStream != 0, endHeaders: endHeaders))
    }

    /// The payload without its padding; `nil` when there is more padding than payload.
    @inline(__always)
    private static func unpadded(_ flags: UInt8, _ input: RawSpan, _ payload: Range<Int>) -> Range<Int>? {
        if flags & HTTP2Flags.padded == 0 { return payload }
        guard !payload.isEmpty else { return nil }
        let padding = Int(input.byte(at: payload.lowerBound))
        guard padding < payload.count else { return nil }
        return payload.lowerBound &+ 1..<payload.upperBound &- padding
    }
}
