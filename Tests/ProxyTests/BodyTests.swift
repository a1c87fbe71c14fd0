// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import Proxy
import Testing

/// What a body reader made of a message.
struct ReadBody: Equatable {
    var data = ""
    var next = BodyReader.Next.more
    var trailers: [String] = []
    var left = ""
}

/// Reads the body of a request that arrives in `pieces`.
func readBody(_ pieces: [String], _ head: RequestHead) -> ReadBody { readBody(pieces, BodyReader(head)) }

/// Reads the body of a response that arrives in `pieces`.
func readBody(_ pieces: [String], _ head: ResponseHead) -> ReadBody { readBody(pieces, BodyReader(head, to: .get)) }

private func readBody(_ pieces: [String], _ reader: BodyReader) -> ReadBody {
    var reader = reader
    var result = ReadBody()
    var trailers: HeaderBlock?
    var input = ByteBuffer()
    for piece in pieces {
        input.writeString(piece)
        guard result.next == .more else { continue }
        let taken = reader.take(from: &input, limits: HeadLimits(), trailers: &trailers)
        if let data = taken.data { result.data += String(buffer: data) }
        result.next = taken.next
    }
    if let trailers { result.trailers = trailers.lines.map { "\($0.name): \($0.value)" } }
    result.left = String(buffer: input)
    return result
}

private var chunked: RequestHead {
    var head = RequestHead()
    head.flags = .chunked
    return head
}

private var chunkedResponse: ResponseHead {
    var head = ResponseHead()
    head.status = 200
    head.flags = .chunked
    return head
}

@Suite struct BodyTests {
    @Test(
        "takes chunks apart",
        arguments: [
            ("0\r\n\r\n", "", [], ""), ("5\r\nhello\r\n0\r\n\r\nGET", "hello", [], "GET"),
            ("5\r\nhello\r\n006\r\n world\r\n000\r\n\r\n", "hello world", [], ""),
            ("A;a=b\r\n0123456789\r\n0;last\r\n\r\n", "0123456789", [], ""),
            ("1 ; a = \"x\\\"\r;y\"\r\n", "", nil, ""),
            ("1;a=\"x;\\\"y\" ;b\r\nz\r\n0\r\n\r\n", "z", [], ""),
            ("1\r\nz\r\n0\r\nX-Sum: 1\r\n\r\nrest", "z", ["X-Sum: 1"], "rest"),
            ("0\r\nContent-Length: 1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nX: y\r\n\r\n", "", ["X: y"], ""),
        ] as [(String, String, [String]?, String)])
    func chunks(text: String, data: String, trailers: [String]?, left: String) {
        let body = readBody([text], chunked)
        guard let trailers else {
            #expect(body.next == .invalid)
            return
        }
        #expect(body == ReadBody(data: data, next: .end, trailers: trailers, left: left))
    }

    @Test(
        "refuses chunk lines that two readers could understand differently",
        arguments: [
            "0x5\r\nhello", "+5\r\nhello", "-1\r\n", " 5\r\nhello", "5 \r\nhello", "5\nhello", "5\r\nhello\n",
            "5\r\nhelloo\r\n",
            "5\r\nhello\r0", "5;\r\nhello", "5;a=\r\nhello", "5;a b\r\nhello", "5;=x\r\nhello", "5;a=\"b\r\nhello",
            "\r\n", "g\r\n", "5\r\r\nhello", "FFFFFFFFFFFFFFFF\r\n", "0000000000000000\r\n", "5,\r\nhello",
            "5\u{0};a\r\n",
            "0\r\n\rX", "0\r\nX\r\n\r\n", "0\r\n X: y\r\n\r\n", "0\r\nX : y\r\n\r\n",
        ])
    func badChunks(text: String) { #expect(readBody([text], chunked).next == .invalid) }

    @Test(
        "in a response, zeros before a size and blanks behind it are taken and gone",
        arguments: [
            "5 \r\nhello\r\n0 \r\n\r\n", "5\t \r\nhello\r\n0\r\n\r\n", "5      \r\nhello\r\n0       \r\n\r\n",
            "0000000000000005\r\nhello\r\n00000000000000000000\r\n\r\n", "00005 ;a=b\r\nhello\r\n0 ; c\r\n\r\n",
        ])
    func lenientResponses(text: String) {
        let expected = ReadBody(data: "hello", next: .end)
        #expect(readBody([text], chunkedResponse) == expected)
        #expect(readBody(text.unicodeScalars.map { String($0) }, chunkedResponse) == expected)
        #expect(readBody([text], chunked).next == .invalid || text.hasPrefix("00005 ;"))
    }

    @Test(
        "but nothing else that is unclear, and not without end",
        arguments: [
            " 5\r\nhello", "5 5\r\nhello", "5 \nhello", "5 x\r\nhello", "5;a \r\nhello", "5 ;\r\nhello", "5\r \nhello",
            "0x5\r\nhello", "\r\n", " \r\n", "+5\r\n", "FFFFFFFFFFFFFFFF\r\n", "00FFFFFFFFFFFFFFFF\r\n",
            "5" + String(repeating: " ", count: 33) + "\r\nhello", String(repeating: "0", count: 34) + "5\r\nhello",
            String(repeating: "0", count: 20) + "5" + String(repeating: " ", count: 20) + "\r\nhello",
        ])
    func badResponses(text: String) { #expect(readBody([text], chunkedResponse).next == .invalid) }

    @Test("every chunk line may be padded, however many there are")
    func paddedChunks() {
        let line = "0001" + String(repeating: " ", count: 28) + "\r\nz\r\n"
        let body = readBody([String(repeating: line, count: 1000) + "0\r\n\r\n"], chunkedResponse)
        #expect(body == ReadBody(data: String(repeating: "z", count: 1000), next: .end))
    }

    @Test("limits the extensions of a whole message")
    func extensionLimit() {
        let line = "1;" + String(repeating: "a", count: 1000) + "\r\nz\r\n"
        #expect(readBody([String(repeating: line, count: 4)], chunked).next == .more)
        #expect(readBody([String(repeating: line, count: 5)], chunked).next == .invalid)
    }

    @Test("any split of a chunked body gives the same result")
    func anySplit() {
        let text = "3;x=\"y\"\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\nX-A: b\r\nX-C: d\r\n\r\nnext"
        let whole = readBody([text], chunked)
        #expect(whole.next == .end)
        for cut in text.indices.dropFirst() {
            #expect(readBody([String(text[..<cut]), String(text[cut...])], chunked) == whole)
        }
        #expect(readBody(text.unicodeScalars.map { String($0) }, chunked) == whole)
    }

    @Test("a length is met exactly")
    func length() {
        var head = RequestHead()
        head.contentLength = 5
        #expect(readBody(["hel", "lo", "rest"], head) == ReadBody(data: "hello", next: .end, left: "rest"))
        #expect(readBody(["hel"], head) == ReadBody(data: "hel", next: .more))
    }

    @Test(
        "responses are delimited by status, method and head",
        arguments: [
            (200, HTTPMethod.get, ResponseHead.Flags.chunked, 0, false, false),
            (200, .get, .contentLength, 3, false, false), (200, .get, .contentLength, 0, true, false),
            (200, .get, [], 0, false, true), (200, .head, .contentLength, 3, true, false),
            (204, .get, [], 0, true, false), (304, .get, .contentLength, 3, true, false),
            (100, .get, [], 0, true, false),
        ] as [(Int, HTTPMethod, ResponseHead.Flags, Int, Bool, Bool)])
    func responses(
        status: Int, method: HTTPMethod, flags: ResponseHead.Flags, length: Int, isComplete: Bool, untilClose: Bool
    ) {
        var head = ResponseHead()
        head.status = status
        head.flags = flags
        head.contentLength = length
        let reader = BodyReader(head, to: method)
        #expect(reader.isComplete == isComplete)
        #expect(reader.endsWithConnection == untilClose)
    }
}
