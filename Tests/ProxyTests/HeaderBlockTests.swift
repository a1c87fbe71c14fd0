// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import Testing

@testable import Proxy

@Suite struct HeaderBlockTests {
    /// Scans a head, lets `edit` change its fields, and writes what would be forwarded.
    private func forward(
        _ text: String, framing: HTTP1Writer.Framing = .byHead,
        edit: (inout HeaderBlock, RequestHead) -> Void = { _, _ in }
    ) throws -> String {
        var scanner = HeadScanner()
        var head = RequestHead()
        var block = HeaderBlock()
        let bytes = Array(text.utf8)
        let result = scanner.scanRequest(bytes.rawSpan, limits: HeadLimits(), into: &head, &block)
        try #require(result == .complete(length: bytes.count))
        edit(&block, head)
        var out = ByteBuffer()
        HTTP1Writer.write(head, block, framing: framing, isUpgrade: false, to: &out)
        return String(buffer: out)
    }

    @Test("an untouched head is forwarded byte by byte")
    func untouched() throws {
        let text = "GET /a?b=%20 HTTP/1.1\r\nHost: a\r\nX-Y:  z \r\nCookie: a\r\ncookie: b\r\n\r\n"
        #expect(try self.forward(text) == text)
    }

    @Test("an absolute target becomes an origin one")
    func absolute() throws {
        #expect(try self.forward("GET http://a HTTP/1.1\r\nHost: a\r\n\r\n") == "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(try self.forward("GET http://a?b HTTP/1.1\r\nHost: a\r\n\r\n") == "GET /?b HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(try self.forward("OPTIONS http://a HTTP/1.0\r\n\r\n") == "OPTIONS * HTTP/1.1\r\n\r\n")
    }

    @Test("orders to Envoy go, in any letters, and nothing else that begins like them")
    func ordersToEnvoy() throws {
        let text =
            "GET / HTTP/1.1\r\nHost: a\r\nX-Envoy-Max-Retries: 3\r\nx-envoy-retry-on: 5xx\r\nx-envoy-peer-metadata: m\r\n"
            + "X-ENVOY-UPSTREAM-RQ-TIMEOUT-MS: 1\r\nx-every-day: c\r\nx-e: d\r\n\r\n"
        #expect(
            try self.forward(text) { block, _ in block.removeOrdersToEnvoy() }
                == "GET / HTTP/1.1\r\nHost: a\r\nx-envoy-peer-metadata: m\r\nx-every-day: c\r\nx-e: d\r\n\r\n")
    }

    @Test("hop-by-hop fields go, and those that Connection names")
    func hopByHop() throws {
        let text = """
            GET / HTTP/1.1\r
            Host: a\r
            Connection: close, X-Secret,, Content-Length ,host, x-forwarded-port, X-Mesher-Hop\r
            TE: trailers\r
            x-SECRET: 1\r
            Keep-Alive: 1\r
            X-Forwarded-Port: 1\r
            Proxy-Authorization: x\r
            Content-Length: 0\r
            X-Kept: 1\r
            x-mesher-hop: a\r
            \r

            """
        let out = try self.forward(text) { block, _ in block.removeHopByHop() }
        #expect(out == "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nX-Kept: 1\r\nx-mesher-hop: a\r\n\r\n")
    }

    @Test("Connection takes one alias with it, and not the others")
    func aliases() throws {
        let text =
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: x_real_ip\r\nX_Real_IP: 1\r\nX_Forwarded_For: 2\r\n\r\n"
        let out = try self.forward(text) { block, _ in block.removeHopByHop() }
        #expect(out == "GET / HTTP/1.1\r\nHost: a\r\nX_Forwarded_For: 2\r\n\r\n")
    }

    @Test("fields are added behind the others, from lines, texts and parts of the block")
    func added() throws {
        let out = try self.forward("GET http://a:80/ HTTP/1.1\r\nHost: b\r\n\r\n") { block, head in
            block.remove(.host)
            block.append(.host, "Host", valueFrom: head.authority.whole)
            block.append(HeaderLine("X-Line", "1\r\n2"))
            block.append(.xForwardedPort, "X-Forwarded-Port", "80")
            let (host, port) = (block.string(of: .host), block.string(of: .xForwardedPort))
            #expect(host == "a:80")
            #expect(port == "80")
            let found = ["x-line", "x-none"].map { block.firstIndex(ofLowercased: Array($0.utf8)) != nil }
            #expect(found == [true, false])
        }
        #expect(out == "GET / HTTP/1.1\r\nHost: a:80\r\nX-Line: 1  2\r\nX-Forwarded-Port: 80\r\n\r\n")
    }

    @Test("a chunked request says so once")
    func chunked() throws {
        let out = try self.forward(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:chunked\r\n\r\n", framing: .chunked
        ) { block, _ in block.removeHopByHop() }
        #expect(out == "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    }

    @Test("more fields than the table began with")
    func manyFields() throws {
        let lines = (0..<90).map { "X-\($0): \($0)\r\n" }.joined()
        let text = "GET / HTTP/1.1\r\nHost: a\r\n\(lines)\r\n"
        #expect(try self.forward(text) == text)
    }

    @Test(
        "knows its names in any letter case, and no others",
        arguments: [
            ("HOST", HeaderName.host), ("content-LENGTH", .contentLength), ("X-Cse-Context", .xCseContext),
            ("te", .te), ("x-cse-src-microservice", .xCseSourceService), ("Hosts", .other), ("Hosd", .other),
            ("Content-Lengti", .other), ("Date", .date), ("X_Forwarded_For", .aliasOfClaim),
            ("x_forwarded-for", .aliasOfClaim), ("X-FORWARDED_HOST", .aliasOfClaim),
            ("x_Forwarded_Proto", .aliasOfClaim), ("X_Real_IP", .aliasOfClaim), ("x-real_ip", .aliasOfClaim),
            ("X_Forwarded_Port", .other), ("X_Forwarded_Fot", .other), ("X_Forwarded_", .other), ("a_real_ip", .other),
            ("x_cse_context", .other),
        ])
    func names(text: String, name: HeaderName) {
        var block = HeaderBlock()
        block.append(HeaderLine(text, "v"))
        let isKnown = block.contains(name)
        #expect(isKnown)
    }

    @Test("goes back to a mark: what was added goes, what was removed is there again, and only that")
    func marks() {
        var block = HeaderBlock()
        for name in ["Host", "X-A", "Cookie", "X-B"] { block.append(HeaderLine(name, name.lowercased())) }
        block.remove(.cookie)
        let before = block.lines.map(\.name)
        let first = block.mark()
        block.remove(.host)
        block.remove(.cookie)
        block.append(HeaderLine("Cookie", "new"))
        let between = block.lines.map(\.name)
        let second = block.mark()
        block.remove(.cookie)
        block.remove(Array("x-a".utf8), .other)
        block.append(HeaderLine("Host", "other"))
        #expect(block.lines.map(\.name) == ["X-B", "Host"])
        block.goBack(to: second)
        #expect(block.lines.map(\.name) == between && block.contains(.cookie) && !block.contains(.host))
        block.goBack(to: second)
        block.goBack(to: first)
        #expect(block.lines.map(\.name) == before && before == ["Host", "X-A", "X-B"])
        #expect(block.contains(.host) && !block.contains(.cookie))
        block.remove(.host)
        block.goBack(to: first)
        #expect(block.lines.map(\.name) == before)
    }
}
