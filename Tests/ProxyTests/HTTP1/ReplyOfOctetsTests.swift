// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import Testing

@testable import Proxy

@Suite struct ReplyOfOctetsTests {
    @Test("octets that are no text are sent as they are, with their length")
    func octets() {
        var reply = LocalReply(status: 200, body: "text of some other length")
        reply.octets = [0, 0xff]
        for (method, body) in [(HTTPMethod.get, [0, 0xff]), (.head, [])] as [(HTTPMethod, [UInt8])] {
            var out = ByteBuffer()
            HTTP1Writer.write(reply, to: method, connection: .none, to: &out)
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 2\r\n\r\n"
            #expect(Array(out.readableBytesView) == Array(head.utf8) + body)
        }
        let lines = reply.lines(isGRPC: false, contentType: nil).map { String(decoding: $0.bytes, as: UTF8.self) }
        #expect(lines.contains("content-length: 2\r\n"))
    }
}
