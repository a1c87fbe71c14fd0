// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import Proxy
import Support

/// Any bytes as the head of a request, or of a response.
///
/// What must hold: nothing traps; cutting the bytes anywhere changes nothing; and what is forwarded of a head that was
/// accepted is read by the strict reader as the same request.
@main enum FuzzHead {
    static func main() {
        unsafe fuzz { start, count in unsafe check(Array(UnsafeBufferPointer(start: start, count: count))) }
    }
}

private func check(_ input: [UInt8]) -> CInt {
    guard input.count > 2 else { return 0 }
    let cut = Int(input[0]) << 8 | Int(input[1])
    let bytes = Array(input.dropFirst(2))
    Request(bytes).check(cutAt: cut % (bytes.count + 1))
    Response(bytes).check(cutAt: cut % (bytes.count + 1))
    return 0
}

private struct Request {
    let bytes: [UInt8]

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    func check(cutAt cut: Int) {
        var scanner = HeadScanner()
        var head = RequestHead()
        var block = HeaderBlock()
        let result = scanner.scanRequest(self.bytes.rawSpan, limits: HeadLimits(), into: &head, &block)
        let before = block.lines.map { [$0.name, $0.value] }

        var again = HeadScanner()
        var otherHead = RequestHead()
        var otherBlock = HeaderBlock()
        let first = again.scanRequest(
            Array(self.bytes[..<cut]).rawSpan, limits: HeadLimits(), into: &otherHead, &otherBlock)
        if first == .incomplete {
            let second = again.scanRequest(
                self.bytes.rawSpan, limits: HeadLimits(), into: &otherHead, &otherBlock)
            precondition(second == result, "cut at \(cut): \(second) instead of \(result)")
            precondition(otherBlock.lines.map { [$0.name, $0.value] } == before, "cut at \(cut): other fields")
        } else {
            precondition(first == result, "cut at \(cut): \(first) instead of \(result)")
        }

        guard case .complete = result, block.contains(.host) else { return }
        let framing: HTTP1Writer.Framing = head.flags.contains(.chunked) ? .chunked : .byHead
        block.removeHopByHop()
        var out = ByteBuffer()
        HTTP1Writer.write(head, block, framing: framing, isUpgrade: false, to: &out)
        if framing == .chunked { out.writeString("0\r\n\r\n") }
        out.writeRepeatingByte(0x62, count: min(head.contentLength, 1000))
        guard head.contentLength <= 1000 else { return }
        do {
            let message = try StrictMessage(request: Array(out.readableBytesView))
            precondition(message.rest.isEmpty, "bytes are left over")
            precondition(message.body.count == head.contentLength, "another body")
            let kept = block.lines.map { $0.name.lowercased() }
            precondition(
                message.fields.map(\.name).filter { $0 != "transfer-encoding" } == kept,
                "other fields: \(message.fields)")
        } catch {
            preconditionFailure("what is forwarded is \(error): \(String(buffer: out))")
        }
    }
}

private struct Response {
    let bytes: [UInt8]

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    func check(cutAt cut: Int) {
        var scanner = HeadScanner()
        var head = ResponseHead()
        var block = HeaderBlock()
        let result = scanner.scanResponse(self.bytes.rawSpan, limits: .response, into: &head, &block)
        var again = HeadScanner()
        var otherHead = ResponseHead()
        var otherBlock = HeaderBlock()
        let first = again.scanResponse(
            Array(self.bytes[..<cut]).rawSpan, limits: .response, into: &otherHead, &otherBlock)
        if first == .incomplete {
            let second = again.scanResponse(self.bytes.rawSpan, limits: .response, into: &otherHead, &otherBlock)
            precondition(second == result, "cut at \(cut): \(second) instead of \(result)")
        } else {
            precondition(first == result, "cut at \(cut): \(first) instead of \(result)")
        }
        guard case .complete = result else { return }
        precondition((100...999).contains(head.status), "status \(head.status)")
        block.removeHopByHop()
        var out = ByteBuffer()
        HTTP1Writer.write(head, block, framing: .byHead, connection: .close, to: &out)
        precondition(out.readableBytes > 0)
    }
}
