// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import Proxy
import Support

/// Edits of a head, chosen by the input: what is written must read back as what was asked for.
@main enum FuzzWriter {
    static func main() {
        unsafe fuzz { start, count in unsafe check(Array(UnsafeBufferPointer(start: start, count: count))) }
    }
}

private func check(_ input: [UInt8]) -> CInt {
    var edits = Edits(input[...])
    edits.run()
    return 0
}

private struct Edits {
    private var choices: ArraySlice<UInt8>
    private var expected: [(name: String, value: String)] = []

    init(_ choices: ArraySlice<UInt8>) { self.choices = choices }

    private mutating func choose(_ count: Int) -> Int { Int(self.choices.popFirst() ?? 0) % count }

    mutating func run() {
        var text = "PUT http://cart:8080/a?b HTTP/1.1\r\nHost: cart:8080\r\nContent-Length: 0\r\n"
        self.expected = [("Host", "cart:8080"), ("Content-Length", "0")]
        for index in 0..<self.choose(40) {
            let (name, value) = ("X-\(index % 7)", String(repeating: "v", count: self.choose(70)))
            text += "\(name):\(self.choose(2) == 0 ? "" : " \t")\(value)\r\n"
            self.expected.append((name, value))
        }
        var scanner = HeadScanner()
        var head = RequestHead()
        var block = HeaderBlock()
        let result = scanner.scanRequest(
            Array((text + "\r\n").utf8).rawSpan, limits: HeadLimits(), into: &head, &block)
        precondition(result == .complete(length: text.utf8.count + 2), "\(result)")
        for _ in 0..<self.choose(20) { self.edit(&block, head) }

        let lines = block.lines
        precondition(lines.map(\.name) == self.expected.map(\.name), "other names")
        precondition(lines.map(\.value) == self.expected.map(\.value), "other values")
        guard self.expected.contains(where: { $0.name == "Host" }) else { return }
        var out = ByteBuffer()
        HTTP1Writer.write(head, block, framing: .byHead, isUpgrade: false, to: &out)
        do {
            let message = try StrictMessage(request: Array(out.readableBytesView))
            precondition(message.startLine[1] == Array("/a?b".utf8), "another target")
            precondition(message.fields.map(\.name) == self.expected.map { $0.name.lowercased() }, "other names")
            precondition(message.fields.map(\.value) == self.expected.map { Array($0.value.utf8) }, "other values")
        } catch {
            preconditionFailure("what is written is \(error)")
        }
    }

    private mutating func edit(_ block: inout HeaderBlock, _ head: RequestHead) {
        switch self.choose(5) {
        case 0:
            block.remove(.host)
            self.expected.removeAll { $0.name == "Host" }
            block.append(.host, "Host", valueFrom: head.authority.whole)
            self.expected.append(("Host", "cart:8080"))
        case 1:
            block.remove(.xForwardedPort)
            self.expected.removeAll { $0.name == "X-Forwarded-Port" }
        case 2:
            block.append(.xForwardedPort, "X-Forwarded-Port", valueFrom: head.authority.portDigits)
            self.expected.append(("X-Forwarded-Port", "8080"))
        case 3:
            let value = String(repeating: "w", count: self.choose(200))
            block.append(HeaderLine("X-Line", value))
            self.expected.append(("X-Line", value))
        default:
            block.append(.xForwardedHost, "X-Forwarded-Host", "h")
            self.expected.append(("X-Forwarded-Host", "h"))
        }
    }
}
