// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import Testing

@testable import Proxy

@Suite struct HTTPDateTests {
    private static func text(_ second: Int64) -> String { String(decoding: HTTPDate.text(second), as: UTF8.self) }

    @Test(
        "writes moments as HTTP does",
        arguments: [
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"), (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"), (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"), (1_709_164_800, "Thu, 29 Feb 2024 00:00:00 GMT"),
            (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT"), (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"), (253_402_300_799, "Fri, 31 Dec 9999 23:59:59 GMT"),
            (-1, "Thu, 01 Jan 1970 00:00:00 GMT"), (.max, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] as [(Int64, String)])
    func moments(second: Int64, text: String) { #expect(Self.text(second) == text) }

    @Test("every day follows the one before, for a thousand years")
    func days() {
        let names = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        var (weekday, day, month, year) = (4, 1, 0, 1970)
        func length() -> Int {
            let isLeap = year % 4 == 0 && year % 100 != 0 || year % 400 == 0
            return month == 1 ? (isLeap ? 29 : 28) : [3, 5, 8, 10].contains(month) ? 30 : 31
        }
        func padded(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
        for number in 0..<365_000 {
            let expected = "\(names[weekday]), \(padded(day)) \(months[month]) \(year) 00:00:00 GMT"
            let text = Self.text(Int64(number) * 86_400)
            guard text == expected else {
                Issue.record("\(text) instead of \(expected)")
                return
            }
            weekday = (weekday + 1) % 7
            day += 1
            if day > length() { (day, month) = (1, month + 1) }
            if month == 12 { (month, year) = (0, year + 1) }
        }
    }

    @Test("is the same line until the second is another")
    func cached() {
        var date = HTTPDate()
        func line(_ second: Int64) -> String { String(decoding: date.line(at: second).bytes, as: UTF8.self) }
        #expect(line(0) == "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n")
        #expect(line(784_111_777) == "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n")
        #expect(line(784_111_777) == "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n")
        // The clock was set back.
        #expect(line(784_111_776) == "Date: Sun, 06 Nov 1994 08:49:36 GMT\r\n")
        #expect(date.line(at: 1).name == .date)
    }

    @Test("is added to a response that has none, and to an answer of our own")
    func added() {
        var date = HTTPDate()
        let line = date.line(at: 784_111_777)
        for field in ["date: yesterday", "X-Date: yesterday"] {
            let bytes = Array("HTTP/1.1 200 OK\r\n\(field)\r\n\r\n".utf8)
            var scanner = HeadScanner()
            var head = ResponseHead()
            var block = HeaderBlock()
            let result = scanner.scanResponse(bytes.rawSpan, limits: .response, into: &head, &block)
            #expect(result == .complete(length: bytes.count))
            let added = field.hasPrefix("X") ? "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n" : ""
            var out = ByteBuffer()
            HTTP1Writer.write(head, block, framing: .byHead, connection: .none, date: line, to: &out)
            #expect(String(buffer: out) == "HTTP/1.1 200 OK\r\n\(field)\r\n\(added)\r\n")
            var encoder = HPACKEncoder()
            for _ in 0..<3 {
                out.clear()
                FrameWriter.response(
                    status: 200, &block, stream: 1, endStream: true, encoder: &encoder, date: line, to: &out)
                let sent = String(buffer: out)
                #expect(sent.contains("Sun, 06 Nov 1994 08:49:37 GMT") == field.hasPrefix("X"))
            }
        }
        var out = ByteBuffer()
        HTTP1Writer.write(LocalReply(status: 200), to: .get, connection: .close, date: line, to: &out)
        #expect(
            String(buffer: out)
                == "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
    }

    @Test("the answer to CONNECT says nothing of a body, nor of the connection")
    func tunnel() {
        let bytes = Array(
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nUpgrade: websocket\r\nConnection: Upgrade, X-A\r\n"
                + "Keep-Alive: 1\r\nX-A: 1\r\nX-B: 2\r\n\r\n").utf8)
        var scanner = HeadScanner()
        var head = ResponseHead()
        var block = HeaderBlock()
        let result = scanner.scanResponse(bytes.rawSpan, limits: .response, into: &head, &block)
        #expect(result == .complete(length: bytes.count))
        block.append(.contentLength, "Content-Length", "0")
        var out = ByteBuffer()
        HTTP1Writer.writeTunnel(head, &block, to: &out)
        #expect(String(buffer: out) == "HTTP/1.1 200 OK\r\nX-B: 2\r\n\r\n")
    }
}
