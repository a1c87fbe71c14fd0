// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import Proxy
import Support

/// Any bytes as the frames of a client, in pieces of any size.
///
/// What must hold: nothing traps; the size of the pieces changes nothing; header blocks that are understood are the same
/// after they were encoded and decoded again; and requests that are in order, forwarded in HTTP/1.1, are read by the
/// strict reader as exactly one.
@main enum FuzzHTTP2 {
    static func main() {
        unsafe fuzz { start, count in unsafe check(Array(UnsafeBufferPointer(start: start, count: count))) }
    }
}

private func check(_ input: [UInt8]) -> CInt {
    guard input.count > 1 else { return 0 }
    let bytes = Array(input.dropFirst())
    let whole = read(bytes, piece: bytes.count)
    let pieces = read(bytes, piece: Int(input[0] % 23) + 1)
    precondition(whole == pieces, "the pieces give other frames")
    return 0
}

/// What a connection has understood.
private func read(_ bytes: [UInt8], piece: Int) -> [String] {
    var parser = FrameParser()
    var decoder = HPACKDecoder()
    var encoder = HPACKEncoder()
    var again = HPACKDecoder()
    var seen: [String] = []
    var unread: [UInt8] = []
    var fed = 0
    while fed < bytes.count {
        let end = min(fed + piece, bytes.count)
        unread += bytes[fed..<end]
        fed = end
        var offset = 0
        reading: while true {
            let event = parser.next(unread.rawSpan, at: &offset)
            switch event {
            case .incomplete: break reading
            case .connectionError(let code): return seen + ["\(code)"]
            case .streamError(let stream, let code): seen.append("\(stream) \(code)")
            case .frame(.headers(let stream, let range, let endStream, endHeaders: true)):
                let block = Array(unread[range])
                guard
                    let text = decode(block, endStream: endStream, stream, &decoder, &encoder, &again)
                else { return seen + ["broken"] }
                seen.append(text)
            case .frame(.data(let stream, let range, _, let endStream)):
                seen.append("data \(stream) \(range.count) \(endStream)")
            case .frame: seen.append("frame")
            }
        }
        unread.removeFirst(offset)
    }
    return seen
}

/// Decodes one block; `nil` when it makes no sense.
private func decode(
    _ bytes: [UInt8], endStream: Bool, _ stream: UInt32, _ decoder: inout HPACKDecoder,
    _ encoder: inout HPACKEncoder, _ again: inout HPACKDecoder
) -> String? {
    var block = HeaderBlock()
    var pseudo = PseudoFields()
    let result = decoder.decode(bytes.rawSpan, limits: HeadLimits(), into: &block, &pseudo)
    if result == .broken { return nil }
    guard result == .complete else { return "\(result)" }
    let lines = block.lines.map { "\($0.name): \($0.value)" }
    var out = ByteBuffer()
    FrameWriter.trailers(&block, stream: stream, encoder: &encoder, to: &out)
    if out.readableBytes < 16 * 1024 {
        var second = HeaderBlock()
        var none = PseudoFields()
        let encoded = Array(out.readableBytesView.dropFirst(9))
        let same = again.decode(encoded.rawSpan, limits: HeadLimits(fields: 200), into: &second, &none)
        precondition(same == .complete, "what was encoded is not understood")
        precondition(second.lines.map { "\($0.name): \($0.value)" } == lines, "what was encoded is something else")
    }
    var head = RequestHead()
    if !pseudo.isEmpty, HTTP2Head.read(pseudo, &block, endStream: endStream, into: &head) == nil,
        head.method != .connect
    {
        forward(head, block)
    }
    return lines.joined(separator: "\n")
}

private func forward(_ head: RequestHead, _ block: consuming HeaderBlock) {
    block.removeHopByHop()
    var out = ByteBuffer()
    let framing: HTTP1Writer.Framing = head.flags.contains(.chunked) ? .chunked : .byHead
    HTTP1Writer.write(head, block, framing: framing, isUpgrade: false, to: &out)
    if framing == .chunked {
        out.writeString("0\r\n\r\n")
    } else {
        out.writeBytes(Array(repeating: UInt8(ascii: "x"), count: min(head.contentLength, 4096)))
    }
    guard head.contentLength <= 4096 else { return }
    do {
        let message = try StrictMessage(request: Array(out.readableBytesView))
        precondition(message.rest.isEmpty, "more than one request")
    } catch {
        preconditionFailure("what is forwarded is \(error)")
    }
}
