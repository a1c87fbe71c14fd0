// SPDX-License-Identifier: Apache-2.0

import Common
import Proxy
import Testing

/// What people are told about a head that was refused.
@Suite struct HeadViolationTests {
    private static let limits = HeadLimits(startLine: 60, field: 90, section: 300, fields: 5)

    private static func explain(request text: String) -> String? {
        var scanner = HeadScanner()
        var head = RequestHead()
        var block = HeaderBlock()
        let bytes = Array(text.utf8)
        guard
            case .invalid(let violation) = scanner.scanRequest(bytes.rawSpan, limits: Self.limits, into: &head, &block)
        else { return nil }
        return scanner.explain(violation, bytes.rawSpan, limits: Self.limits, of: .request)
    }

    private static func explain(response text: String) -> String? {
        var scanner = HeadScanner()
        var head = ResponseHead()
        var block = HeaderBlock()
        let bytes = Array(text.utf8)
        guard
            case .invalid(let violation) = scanner.scanResponse(bytes.rawSpan, limits: Self.limits, into: &head, &block)
        else { return nil }
        return scanner.explain(violation, bytes.rawSpan, limits: Self.limits, of: .response)
    }

    private static let long = String(repeating: "v", count: 100)

    @Test(
        "names the field, and never a part of its value",
        arguments: [
            ("X-Good: 1\r\nX-Bad : secret", "malformed header field: X-Bad"),
            ("X@Bad: secret", "malformed header field: X@Bad"),
            ("X Odd: secret", "malformed header field: X Odd"), ("Cookie secret", "malformed header field: Cookie"),
            ("X\u{1}Odd: secret", "malformed header field: X"), ("X\u{e9}: secret", "malformed header field: X"),
            ("X-A: 1\r\n secret: folded", "malformed header field: a line begins with a blank"),
            (": secret", "malformed header field: no name"),
            ("X-Control: secret\u{1}secret", "control character in a header field: X-Control"),
            ("X-Line: secret\nX: y", "a line of the head does not end in CRLF: X-Line"),
            (
                "X-Long: \(long)",
                "request header too large: a field of more than 90 bytes (mesher.limits.headerField): X-Long"
            ),
            (
                "\(String(repeating: "n", count: 80)) : v",
                "malformed header field: \(String(repeating: "n", count: 64))…"
            ),
            ("Content-Length: x", "malformed or repeated Content-Length"),
            ("Host: other", "Host is missing, repeated or malformed"),
        ])
    func fields(lines: String, text: String) {
        #expect(Self.explain(request: "GET / HTTP/1.1\r\nHost: a\r\n\(lines)\r\n\r\n") == text)
    }

    @Test(
        "names the scheme",
        arguments: [
            ("https://a/", "the scheme of the request target is not http: https"),
            ("wss://a/", "the scheme of the request target is not http: wss"),
            ("FTP://a/", "the scheme of the request target is not http: FTP"),
            ("ws://a/", "the scheme of the request target is not http: ws is for websocket upgrades only"),
        ])
    func schemes(target: String, text: String) {
        #expect(Self.explain(request: "GET \(target) HTTP/1.1\r\nHost: a\r\n\r\n") == text)
    }

    @Test("names the limit that was met, and its key, of either kind of head")
    func limitsByName() {
        let fields = (0..<6).map { "X-\($0): v\r\n" }.joined()
        let large = (0..<4).map { "X-\($0): \(String(repeating: "v", count: 80))\r\n" }.joined()
        for (rest, text) in [
            (fields, "{} header too large: more than 5 fields (mesher.limits.{}Headers)"),
            (large, "{} header too large: more than 300 bytes (mesher.limits.headerSection)"),
            (
                "X: \(Self.long)\r\n",
                "{} header too large: a field of more than 90 bytes (mesher.limits.headerField): X"
            ),
        ] {
            #expect(
                Self.explain(request: "GET / HTTP/1.1\r\n\(rest)\r\n") == text.replacing("{}", with: "request"))
            #expect(
                Self.explain(response: "HTTP/1.1 200 OK\r\n\(rest)\r\n") == text.replacing("{}", with: "response"))
        }
        let line = String(repeating: "a", count: 100)
        #expect(
            Self.explain(request: "GET /\(line) HTTP/1.1\r\n")
                == "request line too long: more than 60 bytes (mesher.limits.requestLine)")
        #expect(
            Self.explain(response: "HTTP/1.1 200 \(line)\r\n")
                == "status line too long: more than 60 bytes (mesher.limits.requestLine)")
        #expect(Self.explain(response: "HTTP/1.1 200 OK\r\nX@Y: 1\r\n\r\n") == "malformed header field: X@Y")
    }

    @Test("a head that breaks two limits is told of the same one, wherever it is cut")
    func anyCut() {
        for count in 0..<4 {
            let lines = (0..<count).map { "X-\($0): \(String(repeating: "v", count: 70))\r\n" }.joined()
            let bytes = Array("GET / HTTP/1.1\r\n\(lines)X: \(String(repeating: "v", count: 400))\r\n\r\n".utf8)
            var results: [HeadScanner.Result] = []
            for cut in 1...bytes.count {
                var scanner = HeadScanner()
                var head = RequestHead()
                var block = HeaderBlock()
                let result = scanner.scanRequest(
                    Array(bytes[..<cut]).rawSpan, limits: Self.limits, into: &head, &block)
                if result != .incomplete, results.last != result { results.append(result) }
            }
            #expect(results == [.invalid(count < 3 ? .fieldTooLong : .tooLarge)], "\(count) fields before")
        }
    }

    @Test("has a text for each", arguments: HeadViolation.allCases)
    func texts(violation: HeadViolation) {
        for text in [violation.text(of: .request), violation.text(of: .response)] {
            #expect((10...100).contains(text.utf8.count) && text.utf8.allSatisfy { (0x20..<0x7f).contains($0) })
        }
        #expect(violation.text == violation.text(of: .request))
    }
}
