// SPDX-License-Identifier: Apache-2.0

import Common
import Proxy
import Testing

/// Scans `text` in one piece.
func scanRequest(_ text: String, limits: HeadLimits = HeadLimits()) -> (HeadScanner.Result, RequestHead, [String]) {
    var scanner = HeadScanner()
    var head = RequestHead()
    var block = HeaderBlock()
    let result = scanner.scanRequest(Array(text.utf8).rawSpan, limits: limits, into: &head, &block)
    return (result, head, block.lines.map { "\($0.name): \($0.value)" })
}

@Suite struct HeadScannerTests {
    @Test("reads the parts of an ordinary head")
    func ordinaryHead() {
        let text =
            "POST /a/b?c=d HTTP/1.1\r\nHost: cart:8080\r\nContent-Length: 42\r\nX-Empty:\r\nX-Blank: \t a b \t\r\n\r\n"
        let (result, head, lines) = scanRequest(text + "body")
        #expect(result == .complete(length: text.utf8.count))
        #expect(head.method == .post)
        #expect(head.form == .origin)
        #expect(head.contentLength == 42)
        #expect(head.hasBody)
        #expect(head.authority.port == 8080)
        #expect(head.wantsKeepAlive)
        #expect(lines == ["Host: cart:8080", "Content-Length: 42", "X-Empty: ", "X-Blank: a b"])
    }

    @Test(
        "reads the four forms of a target",
        arguments: [
            ("GET /x HTTP/1.1", TargetForm.origin, "/x", ""),
            ("GET //evil/x HTTP/1.1", .origin, "//evil/x", ""),
            ("GET http://cart:8080/items?id=1 HTTP/1.1", .absolute, "/items?id=1", "cart"),
            ("GET HTTP://Cart HTTP/1.1", .absolute, "", "Cart"),
            ("GET http://cart?q HTTP/1.1", .absolute, "?q", "cart"),
            ("GET http://[::1]:80/x HTTP/1.1", .absolute, "/x", "::1"),
            ("OPTIONS * HTTP/1.1", .asterisk, "*", ""),
            ("OPTIONS http://cart HTTP/1.1", .asterisk, "", "cart"),
            ("CONNECT cart:443 HTTP/1.1", .authority, "", "cart"),
            ("GET /a|b{c}?d[]=^ HTTP/1.1", .origin, "/a|b{c}?d[]=^", ""),
            ("GET /a%2Fb/%2e%2e%2e/..c/... HTTP/1.1", .origin, "/a%2Fb/%2e%2e%2e/..c/...", ""),
            ("GET /%2F/a..%2f..b%2F?..%2f%5c HTTP/1.1", .origin, "/%2F/a..%2f..b%2F?..%2f%5c", ""),
            ("GET /a%3b..%3b/%252e%252e/%2/%zz/.%2 HTTP/1.1", .origin, "/a%3b..%3b/%252e%252e/%2/%zz/.%2", ""),
        ])
    func targetForms(line: String, form: TargetForm, path: String, host: String) {
        var scanner = HeadScanner()
        var head = RequestHead()
        var block = HeaderBlock()
        let text = "\(line)\r\nHost: other\r\n\r\n"
        let result = scanner.scanRequest(Array(text.utf8).rawSpan, limits: HeadLimits(), into: &head, &block)
        #expect(result == .complete(length: text.utf8.count))
        #expect(head.form == form)
        #expect(block.string(in: head.path) == path)
        if !host.isEmpty { #expect(block.string(in: head.authority.host) == host) }
    }

    @Test(
        "one dot at the end of a host is none of its name, and is sent on",
        arguments: [
            ("GET http://cart./x HTTP/1.1", "cart", "cart."), ("GET http://cart.:80/x HTTP/1.1", "cart", "cart.:80"),
            ("GET http://cart../x HTTP/1.1", "cart.", "cart.."), ("GET http://./x HTTP/1.1", ".", "."),
            ("GET http://127.0.0.1./ HTTP/1.1", "127.0.0.1", "127.0.0.1."),
            ("GET http://[::1]/ HTTP/1.1", "::1", "[::1]"), ("CONNECT cart.:80 HTTP/1.1", "cart", "cart.:80"),
            ("GET /x HTTP/1.1", "other.example", "other.example."),
        ])
    func hostWithDot(line: String, host: String, whole: String) {
        var scanner = HeadScanner()
        var head = RequestHead()
        var block = HeaderBlock()
        let text = "\(line)\r\nHost: other.example.\r\n\r\n"
        let result = scanner.scanRequest(Array(text.utf8).rawSpan, limits: HeadLimits(), into: &head, &block)
        #expect(result == .complete(length: text.utf8.count))
        #expect(block.string(in: head.authority.host) == host && block.string(in: head.authority.whole) == whole)
    }

    @Test(
        "refuses a start line that is malformed or ambiguous",
        arguments: [
            ("GET  / HTTP/1.1", HeadViolation.target), ("GET / HTTP/1.1 ", .startLine), ("GET /", .startLine),
            (" GET / HTTP/1.1", .startLine), ("G@T / HTTP/1.1", .startLine), ("GET / HTTP/2.0", .version),
            ("GET / HTTP/1.11", .version), ("GET / http/1.1", .version), ("GET / HTTP/0.9", .version),
            ("PRI * HTTP/2.0", .version), ("GET /../x HTTP/1.1", .target), ("GET /a/./b HTTP/1.1", .target),
            ("GET /a/%2E%2e/b HTTP/1.1", .target), ("GET /a/..;x/b HTTP/1.1", .target), ("GET /a/.. HTTP/1.1", .target),
            ("GET /a\\b HTTP/1.1", .target), ("GET /a%5cb HTTP/1.1", .target), ("GET /..%5Cb HTTP/1.1", .target),
            ("GET /a/..%2fb HTTP/1.1", .target), ("GET /a%2F.. HTTP/1.1", .target),
            ("GET /%2e%2E%2Fb HTTP/1.1", .target),
            ("GET /a%2f.%2fb HTTP/1.1", .target), ("GET /a%2f..?q HTTP/1.1", .target),
            ("GET /a/..%3Bx/b HTTP/1.1", .target), ("GET http://cart/..%2fb HTTP/1.1", .target),
            ("GET /a#b HTTP/1.1", .target), ("GET x HTTP/1.1", .target),
            ("GET ftp://cart/x HTTP/1.1", .scheme), ("GET https://cart/x HTTP/1.1", .scheme),
            ("GET wss://cart/x HTTP/1.1", .scheme), ("GET ws://cart/x HTTP/1.1", .scheme),
            ("GET http//cart/x HTTP/1.1", .target), ("GET ://cart/x HTTP/1.1", .target),
            ("GET http:/cart/x HTTP/1.1", .target), ("GET ws:///x HTTP/1.1", .target),
            ("GET http:///x HTTP/1.1", .target),
            ("GET http://u@cart/ HTTP/1.1", .target), ("GET http://cart:99999/ HTTP/1.1", .target),
            ("GET http://cart:8x/ HTTP/1.1", .target), ("GET * HTTP/1.1", .target), ("CONNECT cart HTTP/1.1", .target),
            ("GET http://ca rt/ HTTP/1.1", .target), ("GET /\u{7f} HTTP/1.1", .startLine),
        ])
    func badStartLine(line: String, violation: HeadViolation) {
        #expect(scanRequest("\(line)\r\nHost: a\r\n\r\n").0 == .invalid(violation))
    }

    @Test("refuses bytes beyond ASCII in a target, wherever they stand", arguments: 0..<20)
    func rawBytes(position: Int) {
        for prefix in ["/", "http://cart/", "/?"] {
            for byte: UInt8 in [0x80, 0xa9, 0xfe, 0xff] {
                var path = [UInt8](repeating: UInt8(ascii: "p"), count: 20)
                path[position] = byte
                let text = Array("GET \(prefix)".utf8) + path + Array(" HTTP/1.1\r\nHost: a\r\n\r\n".utf8)
                var scanner = HeadScanner()
                var head = RequestHead()
                var block = HeaderBlock()
                let result = scanner.scanRequest(text.rawSpan, limits: HeadLimits(), into: &head, &block)
                #expect(result == .invalid(.target))
            }
        }
    }

    @Test("a URL of the scheme ws is one of http, where it asks for a WebSocket")
    func websocketTarget() {
        let upgrade = "Host: cart:81\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        for target in ["ws://cart:81/chat?a", "WS://cart:81/chat?a"] {
            var scanner = HeadScanner()
            var head = RequestHead()
            var block = HeaderBlock()
            let text = "GET \(target) HTTP/1.1\r\n\(upgrade)\r\n"
            let result = scanner.scanRequest(Array(text.utf8).rawSpan, limits: HeadLimits(), into: &head, &block)
            #expect(result == .complete(length: text.utf8.count))
            #expect(head.form == .absolute && head.isWebSocketUpgrade && head.flags.contains(.absoluteTarget))
            #expect(head.authority.port == 81)
            #expect(block.string(in: head.authority.host) == "cart" && block.string(in: head.path) == "/chat?a")
        }
        #expect(scanRequest("GET wss://cart/ HTTP/1.1\r\n\(upgrade)\r\n").0 == .invalid(.scheme))
        #expect(scanRequest("GET ws://cart/ HTTP/1.0\r\n\(upgrade)\r\n").0 == .invalid(.scheme))
        #expect(scanRequest("POST ws://cart/ HTTP/1.1\r\n\(upgrade)\r\n").0 == .invalid(.scheme))
    }

    @Test(
        "refuses fields that leave the boundary or the meaning of the message open",
        arguments: [
            ("Host : a", HeadViolation.fieldName), (": x", .fieldName), (" Host: a", .fieldName),
            ("X\u{0}: a", .fieldName), ("X: a\u{0}b", .fieldValue), ("X: a\rb", .lineEnd), ("X: a\nHost: b", .lineEnd),
            ("no colon", .fieldName), ("Content-Length: +1", .contentLength), ("Content-Length: 1, 1", .contentLength),
            ("Content-Length:", .contentLength), ("Content-Length: 0x1", .contentLength),
            ("Content-Length: 9999999999999999999", .contentLength),
            ("Content-Length: 1\r\nContent-Length: 1", .contentLength),
            ("Content-Length: 1\r\nTransfer-Encoding: chunked", .transferEncoding),
            ("Transfer-Encoding: gzip, chunked", .transferEncoding),
            ("Transfer-Encoding: chunked, chunked", .transferEncoding),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", .transferEncoding),
            ("Transfer-Encoding: \u{b}chunked", .fieldValue), ("Transfer-Encoding: identity", .transferEncoding),
            ("Host: b", .host),
        ])
    func badField(field: String, violation: HeadViolation) {
        #expect(scanRequest("POST / HTTP/1.1\r\nHost: a\r\n\(field)\r\n\r\n").0 == .invalid(violation))
    }

    @Test(
        "wants exactly one well-formed Host",
        arguments: [
            "", "Host: a b", "Host: a:b", "Host: a:65536", "Host: ", "Host: u@a", "Host: [::1", "Host: a/b",
            "Host: %zz",
        ])
    func badHost(field: String) {
        let field = field.isEmpty ? "" : "\(field)\r\n"
        #expect(scanRequest("GET / HTTP/1.1\r\n\(field)\r\n").0 == .invalid(.host))
    }

    @Test("an absolute target beats Host, and HTTP/1.0 needs none")
    func hostOfTarget() {
        let (_, head, _) = scanRequest("GET http://cart:1/ HTTP/1.1\r\nHost: other:2\r\n\r\n")
        #expect(head.authority.port == 1)
        #expect(scanRequest("GET / HTTP/1.0\r\n\r\n").0 == .complete(length: 18))
        #expect(
            scanRequest("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n").0 == .invalid(.transferEncoding))
    }

    @Test("reads what Connection and Upgrade ask for")
    func connectionOptions() {
        let upgrade = scanRequest(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\n"
        ).1
        #expect(upgrade.isWebSocketUpgrade)
        #expect(!scanRequest("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n").1.isWebSocketUpgrade)
        #expect(
            !scanRequest("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n").1
                .isWebSocketUpgrade)
        #expect(!scanRequest("GET / HTTP/1.1\r\nHost: a\r\nConnection: CLOSE\r\n\r\n").1.wantsKeepAlive)
        #expect(!scanRequest("GET / HTTP/1.0\r\n\r\n").1.wantsKeepAlive)
        #expect(scanRequest("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").1.wantsKeepAlive)
        #expect(
            scanRequest("GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n\r\n").1.flags.contains(.expectContinue))
        #expect(scanRequest("GET / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n").1.flags.contains(.unknownExpectation))
    }

    @Test("limits are met exactly")
    func limits() {
        let limits = HeadLimits(startLine: 20, field: 30, section: 90, fields: 3)
        func result(_ text: String) -> HeadScanner.Result { scanRequest(text, limits: limits).0 }
        #expect(result("GET /234567 HTTP/1.1\r\nHost: a\r\n\r\n") == .complete(length: 33))
        #expect(result("GET /2345678 HTTP/1.1\r\nHost: a\r\n\r\n") == .invalid(.startLineTooLong))
        #expect(result("GET /234567890123456789") == .invalid(.startLineTooLong))
        let field = "X: " + String(repeating: "v", count: 27)
        #expect(result("GET / HTTP/1.1\r\nHost: a\r\n\(field)\r\n\r\n") == .complete(length: 59))
        #expect(result("GET / HTTP/1.1\r\nHost: a\r\n\(field)v\r\n\r\n") == .invalid(.fieldTooLong))
        #expect(result("GET / HTTP/1.1\r\nHost: a\r\n\(field)vvv") == .invalid(.fieldTooLong))
        #expect(result("GET / HTTP/1.1\r\nHost: a\r\nB: b\r\nC: c\r\n\r\n") == .complete(length: 39))
        #expect(result("GET / HTTP/1.1\r\nHost: a\r\nB: b\r\nC: c\r\nD: d\r\n\r\n") == .invalid(.tooManyFields))
        #expect(result("GET / HTTP/1.1\r\nHost: a\r\n\(field)\r\n\(field)\r\n\(field)\r\n\r\n") == .invalid(.tooLarge))
    }

    @Test("any split of the bytes gives the same result")
    func anySplit() {
        let text =
            "PUT http://cart:8080/a?b HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Cse-Context: {}\r\nCookie: a=b\r\n\r\n"
        let bytes = Array(text.utf8)
        let whole = scanRequest(text)
        for cut in 1..<bytes.count {
            var scanner = HeadScanner()
            var head = RequestHead()
            var block = HeaderBlock()
            let first = scanner.scanRequest(Array(bytes[..<cut]).rawSpan, limits: HeadLimits(), into: &head, &block)
            #expect(first == .incomplete)
            let second = scanner.scanRequest(bytes.rawSpan, limits: HeadLimits(), into: &head, &block)
            #expect(second == whole.0)
            #expect(block.lines.map { "\($0.name): \($0.value)" } == whole.2)
            #expect(head.authority == whole.1.authority)
            #expect(head.flags == whole.1.flags)
        }
        // Byte by byte, going on where the last call stopped.
        var scanner = HeadScanner()
        var head = RequestHead()
        var block = HeaderBlock()
        for count in 1..<bytes.count {
            #expect(
                scanner.scanRequest(Array(bytes[..<count]).rawSpan, limits: HeadLimits(), into: &head, &block)
                    == .incomplete)
        }
        #expect(scanner.scanRequest(bytes.rawSpan, limits: HeadLimits(), into: &head, &block) == whole.0)
        #expect(block.lines.count == whole.2.count)
    }

    @Test("finds the end of a text wherever a control character stands", arguments: 0..<20)
    func textEnd(position: Int) {
        for byte: UInt8 in [0, 9, 10, 13, 31, 32, 126, 127, 128, 255] {
            var name = [UInt8](repeating: UInt8(ascii: "v"), count: 20)
            name[position] = byte
            let text = Array("GET / HTTP/1.1\r\nHost: a\r\nX: ".utf8) + name + Array("\r\n\r\n".utf8)
            var scanner = HeadScanner()
            var head = RequestHead()
            var block = HeaderBlock()
            let result = scanner.scanRequest(text.rawSpan, limits: HeadLimits(), into: &head, &block)
            let isAllowed = byte == 9 || (byte >= 32 && byte != 127)
            #expect((result == .complete(length: text.count)) == isAllowed)
        }
    }

    @Test("takes exactly the token characters as part of a name", arguments: 0..<12)
    func nameCharacters(position: Int) {
        let tokens = Set("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ".utf8)
        for byte in UInt8.min...UInt8.max {
            var name = Array("abcdefghijkl".utf8)
            name[position] = byte
            let text = Array("GET / HTTP/1.1\r\nHost: a\r\n".utf8) + name + Array(": v\r\n\r\n".utf8)
            var scanner = HeadScanner()
            var head = RequestHead()
            var block = HeaderBlock()
            let result = scanner.scanRequest(text.rawSpan, limits: HeadLimits(), into: &head, &block)
            let isColonInside = byte == UInt8(ascii: ":") && position > 0
            #expect(
                (result == .complete(length: text.count)) == (tokens.contains(byte) || isColonInside), "byte \(byte)")
        }
    }

    @Test(
        "reads status lines, and refuses what is no status",
        arguments: [
            ("HTTP/1.1 200 OK", 200 as Int?), ("HTTP/1.0 404 Not Found", 404), ("HTTP/1.1 204", 204),
            ("HTTP/1.1 299 ", 299), ("HTTP/1.9 200 OK", 200), ("HTTP/2.0 200 OK", nil), ("HTTP/1.1 20 OK", nil),
            ("HTTP/1.1 2000 OK", nil), ("HTTP/1.1 099 OK", nil), ("HTTP/1.1  200 OK", nil), ("ICY 200 OK", nil),
            ("HTTP/1.1 2x0 OK", nil), ("HTTP/1.1", nil),
        ])
    func statusLine(line: String, status: Int?) {
        var scanner = HeadScanner()
        var head = ResponseHead()
        var block = HeaderBlock()
        let text = "\(line)\r\nContent-Length: 0\r\n\r\n"
        let result = scanner.scanResponse(Array(text.utf8).rawSpan, limits: .response, into: &head, &block)
        if let status {
            #expect(result == .complete(length: text.utf8.count))
            #expect(head.status == status)
        } else {
            #expect(result != .complete(length: text.utf8.count))
            #expect(result != .incomplete)
        }
    }
}
