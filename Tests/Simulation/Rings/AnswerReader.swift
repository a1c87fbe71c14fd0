// SPDX-License-Identifier: Apache-2.0

import NIOCore
import SimulationSupport

/// What a client makes of the bytes that it receives: answers, one after the other.
///
/// Strict, and on its own: nothing of it is the product's.
struct AnswerReader {
    struct Answer {
        var status = 0
        /// The number of the request that it belongs to, as the answer says.
        var number: Int?
        var length = 0
        var closes = false
        var isInterim: Bool { self.status < 200 }
    }

    private var buffer = ByteBuffer()
    private var head: Answer?
    private var bodyLeft = 0
    /// Whether the request that is answered next is HEAD.
    var isHead: (Int) -> Bool = { _ in false }
    /// Final answers that are complete.
    private(set) var complete: [Answer] = []
    /// Whether a last answer was announced.
    private(set) var isLast = false

    /// Whether an answer has begun that is not complete.
    var isWithin: Bool { self.head != nil || self.buffer.readableBytes > 0 }

    mutating func receive(_ bytes: ByteBuffer) throws {
        if self.buffer.readableBytes == 0 { self.buffer.clear() }
        self.buffer.writeImmutableBuffer(bytes)
        while try self.readOne() {}
    }

    private mutating func readOne() throws -> Bool {
        if let head {
            let count = min(self.bodyLeft, self.buffer.readableBytes)
            // Errors that mesher answers have a text of their own.
            if head.number != nil,
                !self.buffer.readableBytesView.prefix(count).allSatisfy({ $0 == UInt8(ascii: "x") })
            {
                throw Violation("answer", "a body holds a byte that does not belong to it")
            }
            self.buffer.moveReaderIndex(forwardBy: count)
            self.bodyLeft -= count
            guard self.bodyLeft == 0 else { return false }
            self.head = nil
            if head.isInterim { return true }
            self.complete.append(head)
            if head.closes { self.isLast = true }
            return true
        }
        guard let end = self.buffer.lengthOfHead else { return false }
        if self.isLast { throw Violation("answer", "bytes behind the last answer") }
        let text = self.buffer.readString(length: end) ?? ""
        var answer = Answer()
        for (index, line) in text.split(separator: "\r\n").enumerated() {
            if index == 0 {
                guard line.hasPrefix("HTTP/1.1 "), let status = Int(line.dropFirst(9).prefix(3)) else {
                    throw Violation("answer", "not a status line: \(line)")
                }
                answer.status = status
                continue
            }
            guard let colon = line.firstIndex(of: ":") else { throw Violation("answer", "not a field: \(line)") }
            let value = line[line.index(after: colon)...].drop { $0 == " " }
            switch line[..<colon].lowercased() {
            case "content-length": answer.length = Int(value) ?? 0
            case "x-number": answer.number = Int(value)
            case "connection": answer.closes = value.lowercased() == "close"
            default: break
            }
        }
        self.head = answer
        self.bodyLeft = answer.number.map(self.isHead) ?? false ? 0 : answer.length
        return true
    }
}
