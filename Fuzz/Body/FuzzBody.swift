// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import Proxy
import Support

/// Any bytes as a chunked body, in pieces of any size.
///
/// What must hold: nothing traps; the size of the pieces changes nothing; and the body, framed anew, is read by the
/// strict reader as the same data.
@main enum FuzzBody {
    static func main() {
        unsafe fuzz { start, count in unsafe check(Array(UnsafeBufferPointer(start: start, count: count))) }
    }
}

private func check(_ input: [UInt8]) -> CInt {
    guard input.count > 1 else { return 0 }
    let bytes = Array(input.dropFirst())
    let whole = read(bytes, piece: bytes.count)
    let pieces = read(bytes, piece: Int(input[0] % 17) + 1)
    precondition(whole == pieces, "the pieces give another body")
    guard whole.next == .end else { return 0 }
    var out = ByteBuffer(string: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    for chunk in stride(from: 0, to: whole.data.count, by: 5000) {
        let data = whole.data[chunk..<min(chunk + 5000, whole.data.count)]
        HTTP1Writer.writeChunkSize(data.count, to: &out)
        out.writeBytes(data)
        out.writeString("\r\n")
    }
    out.writeString("0\r\n\r\n")
    do {
        let message = try StrictMessage(request: Array(out.readableBytesView))
        precondition(message.body == whole.data && message.rest.isEmpty, "another body")
    } catch {
        preconditionFailure("what is forwarded is \(error)")
    }
    return 0
}

private struct Outcome: Equatable {
    var data: [UInt8] = []
    var next = BodyReader.Next.more
    var trailers: [[String]] = []
    var left = 0
}

private func read(_ bytes: [UInt8], piece: Int) -> Outcome {
    var head = RequestHead()
    head.flags = .chunked
    var reader = BodyReader(head)
    var outcome = Outcome()
    var trailers: HeaderBlock?
    var input = ByteBuffer()
    var fed = 0
    while outcome.next == .more, fed < bytes.count {
        input.writeBytes(bytes[fed..<min(fed + piece, bytes.count)])
        fed = min(fed + piece, bytes.count)
        let taken = reader.take(from: &input, limits: HeadLimits(), trailers: &trailers)
        if let data = taken.data { outcome.data += Array(data.readableBytesView) }
        outcome.next = taken.next
    }
    // Of a broken body, how much was handed on before the break depends on the pieces.
    if outcome.next == .invalid { return Outcome(next: .invalid) }
    if outcome.next == .end, let trailers { outcome.trailers = trailers.lines.map { [$0.name, $0.value] } }
    outcome.left = outcome.next == .end ? input.readableBytes + bytes.count - fed : 0
    return outcome
}
