// SPDX-License-Identifier: Apache-2.0

import NIOCore
import Proxy
import Testing

@Suite struct EmptyLinesTests {
    @Test(
        "some are passed over, and no more",
        arguments: [
            (0, EmptyLines.Next.request), (1, .request), (16, .request), (17, .tooMany), (100_000, .tooMany),
        ])
    func limit(count: Int, next: EmptyLines.Next) {
        var lines = EmptyLines()
        var input = ByteBuffer(string: String(repeating: "\r\n", count: count) + "GET")
        #expect(lines.skip(&input) == next)
        if next == .request { #expect(String(buffer: input) == "GET") }
    }

    @Test("lines that come one by one, or byte by byte, are as many")
    func pieces() {
        for size in [1, 2, 3] {
            var lines = EmptyLines()
            var input = ByteBuffer()
            var taken = 0
            let bytes = Array(String(repeating: "\r\n", count: 100).utf8)
            while taken < bytes.count {
                input.writeBytes(bytes[taken..<min(taken + size, bytes.count)])
                taken += size
                let next = lines.skip(&input)
                if next == .tooMany { break }
                #expect(next == .incomplete)
            }
            #expect((33...37).contains(taken), "pieces of \(size)")
        }
    }

    @Test("each request of a connection may have its own")
    func perRequest() {
        var lines = EmptyLines()
        for _ in 0..<100 {
            var input = ByteBuffer(string: String(repeating: "\r\n", count: 16) + "GET")
            #expect(lines.skip(&input) == .request)
        }
    }

    @Test("what is no empty line is left to the scanner", arguments: ["\rG", "\nGET", "\r\r\n", " \r\n"])
    func others(text: String) {
        var lines = EmptyLines()
        var input = ByteBuffer(string: "\r\n" + text)
        #expect(lines.skip(&input) == .request)
        #expect(String(buffer: input) == text)
    }
}
