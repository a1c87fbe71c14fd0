// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import TestSupport
import Testing

@testable import Proxy

/// Values that are made for each message.
@Suite struct FilledFieldTests {
    private static let head = [
        "POST http://shop:8080/a?q=1 HTTP/1.1", "Host: shop:8080", "X-User: tester", "X-Old: old", "X-Line: one",
        "X-Line: two",
    ]

    private static func exchange(_ lines: [String] = [], peer: String? = "10.1.2.30") throws -> Exchange {
        try TestExchange(TestExchange.directory([:])).make(Self.head + lines, peer: peer)
    }

    private static func value(_ format: String, _ lines: [String] = [], peer: String? = "10.1.2.30") throws -> String {
        let exchange = try Self.exchange(lines, peer: peer)
        var bytes: [UInt8] = []
        exchange.fill(try FieldFormat(format), inResponse: false, fields: exchange.requestHeaders.count, to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    @Test(
        "what a request has",
        arguments: [
            ("<%REQ(x-user)%>", "<tester>"), ("%REQ(x-user):3%", "tes"), ("%REQ(x-user):0%", ""),
            ("%REQ(x-nobody)%", ""), ("%REQ(x-nobody?x-user)%", "tester"), ("%REQ(x-line)%", "one"),
            ("%REQ(:path)%", "/a?q=1"), ("%REQ(:METHOD)%", "POST"), ("%REQ(:authority)%", "shop:8080"),
            ("%REQ(:scheme)%", "http"), ("%PROTOCOL%", "HTTP/1.1"), ("%RESPONSE_CODE%", "0"),
            ("%RESP(x-user)%", ""), ("%UPSTREAM_HOST%", ""), ("%DOWNSTREAM_REMOTE_ADDRESS%", "10.1.2.30:40000"),
            ("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "10.1.2.30"), ("%DOWNSTREAM_REMOTE_PORT%", "40000"),
            ("%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%", "10.1.2.30:40000"), ("%BYTES_RECEIVED%", "0"),
            ("%UPSTREAM_CLUSTER%", ""), ("a%REQ(x-user)%%%", "atester%"),
        ])
    func requests(format: String, expected: String) throws {
        #expect(try Self.value(format) == expected)
    }

    @Test(
        "the client is whom the last proxy before has told, if that is an address",
        arguments: [
            ("%DOWNSTREAM_REMOTE_ADDRESS%", "10.9.8.7,  10.9.8.6", "10.9.8.6:0"),
            ("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "10.9.8.7", "10.9.8.7"),
            ("%DOWNSTREAM_REMOTE_PORT%", "10.9.8.7", "0"), ("%DOWNSTREAM_REMOTE_ADDRESS%", "::1", "[::1]:0"),
            ("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "10.9.8.7, somebody", "10.1.2.30"),
            ("%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%", "10.9.8.7", "10.1.2.30"),
        ])
    func clients(format: String, told: String, expected: String) throws {
        #expect(try Self.value(format, ["X-Forwarded-For: \(told)"]) == expected)
    }

    @Test("an address of IPv6 stands in brackets where a port follows")
    func v6() throws {
        #expect(try Self.value("%DOWNSTREAM_REMOTE_ADDRESS%", peer: "fd00::1") == "[fd00::1]:40000")
        #expect(try Self.value("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", peer: "fd00::1") == "fd00::1")
        #expect(try Self.value("%DOWNSTREAM_REMOTE_ADDRESS%", peer: nil) == "")
    }

    @Test("the time is that of the beginning, in UTC")
    func times() throws {
        let before = WallTime.now().milliseconds / 1000
        let seconds = try #require(Int64(try Self.value("%START_TIME(%s)%")))
        // It is counted back from now by what the loop's clock says.
        #expect(seconds <= WallTime.now().milliseconds / 1000 && seconds >= before - 86_400 * 365)
        let text = try Self.value("%START_TIME%")
        #expect(text.count == 24 && text.hasSuffix("Z") && text.dropFirst(10).first == "T")
        #expect(try Self.value("%START_TIME(%Y/%m)%").count == 7)
    }

    private static func filled(_ edit: HeaderEdit, _ format: String, keepsEmpty: Bool = false) throws -> HeaderEdit {
        .filled(edit, try FieldFormat(format), keepsEmpty: keepsEmpty)
    }

    @Test("fields of the request are filled in from what the client has sent, and an empty value leaves all as it is")
    func requestEdits() throws {
        var exchange = try Self.exchange()
        exchange.apply(
            RouteEffect(
                RouteAction(
                    requestEdits: [
                        .remove("x-line"), .set("X-Plain", "1"), try Self.filled(.add("X-A", ""), "<%REQ(x-user)%>"),
                        try Self.filled(.set("x-old", ""), "%REQ(x-nobody)%"),
                        try Self.filled(.set("X-User", ""), "%REQ(x-old)%"),
                        try Self.filled(.add("X-Empty", ""), "%REQ(x-nobody)%", keepsEmpty: true),
                        try Self.filled(.add("X-Gone", ""), "%REQ(x-line)%"),
                        try Self.filled(.add("X-Again", ""), "%REQ(x-a)%"),
                        try Self.filled(.addIfAbsent("x-a", ""), "%PROTOCOL%"),
                        try Self.filled(.setIfPresent("x-never", ""), "%PROTOCOL%"),
                        try Self.filled(.add("X-Path", ""), "%REQ(:path)%"),
                    ], rewrite: .whole(Array("/b".utf8)), host: "far.example")))
        #expect(
            exchange.requestHeaders.lines.map { "\($0): \($1)" } == [
                "X-Old: old", "Host: far.example", "X-Plain: 1", "X-A: <tester>", "X-User: old", "X-Empty: ",
                "X-Path: /a?q=1",
            ])
    }

    @Test("fields of the answer are filled in from both messages")
    func responseEdits() throws {
        var exchange = try Self.exchange()
        exchange.endpoint = try Endpoint("rest://10.0.0.9:81")
        let effect = RouteEffect(
            RouteAction(
                requestEdits: [.set("x-user", "other")],
                responseEdits: [
                    try Self.filled(.add("x-code", ""), "%RESPONSE_CODE% %RESP(:status)% %RESP(x-out)%"),
                    try Self.filled(.add("x-req", ""), "%REQ(x-user)% %REQ(:path)% %REQ(:authority)%"),
                    try Self.filled(
                        .add("x-to", ""),
                        "%UPSTREAM_HOST% %UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %UPSTREAM_REMOTE_PORT%"),
                    try Self.filled(.add("x-tries", ""), "%UPSTREAM_REQUEST_ATTEMPT_COUNT%"),
                ], rewrite: .whole(Array("/b".utf8)), host: "far.example"))
        exchange.apply(effect)
        exchange.attempts = 2
        exchange.response.status = 201
        exchange.responseHeaders.append(HeaderLine("X-Out", "1"))
        exchange.applyToResponse(effect)
        #expect(
            exchange.responseHeaders.lines.map { "\($0): \($1)" } == [
                "X-Out: 1", "x-code: 201 201 1", "x-req: other /b?q=1 far.example",
                "x-to: 10.0.0.9:81 10.0.0.9 81", "x-tries: 2",
            ])
    }

    @Test("an answer says why it is so, and a request what was done to it")
    func flags() throws {
        var exchange = try Self.exchange()
        let format = try FieldFormat("%RESPONSE_FLAGS% %RESPONSE_FLAGS_LONG% <%RESPONSE_CODE_DETAILS%>")
        func value(inResponse isResponse: Bool) -> String {
            var bytes: [UInt8] = []
            exchange.fill(format, inResponse: isResponse, fields: 0, to: &bytes)
            return String(decoding: bytes, as: UTF8.self)
        }
        #expect(value(inResponse: false) == "- - <>")
        #expect(value(inResponse: true) == "- - <direct_response>")
        exchange.noted = .delayed
        exchange.response.status = 200
        #expect(value(inResponse: false) == "DI DelayInjected <>")
        #expect(value(inResponse: true) == "DI DelayInjected <via_upstream>")
        exchange.noted = .retriesOver
        exchange.error = ProxyError(.upstreamReset)
        #expect(
            value(inResponse: true)
                == "URX,UC UpstreamRetryLimitExceeded,UpstreamConnectionTermination "
                + "<upstream_reset_before_response_started{connection_termination}>")
        exchange.attempt.resetCode = 2
        #expect(value(inResponse: true).contains("UR "))
        exchange.error = ProxyError(.noRule)
        #expect(value(inResponse: true).hasPrefix("URX,NR "))
        exchange.cluster = 1
        #expect(value(inResponse: true).hasPrefix("URX,NC "))
    }

    @Test("so are those of answers that mesher makes itself")
    func replies() throws {
        let exchange = try Self.exchange()
        let effect = RouteEffect(
            RouteAction(
                answer: .reply(FixedReply(status: 418)),
                responseEdits: [
                    try Self.filled(.add("x-user", ""), "<%REQ(x-user)%>"),
                    try Self.filled(.add("x-to", ""), "%UPSTREAM_HOST%"), .add("x-plain", "1"),
                ]))
        let reply = exchange.reply(try #require(effect.action.answer), effect)
        #expect(reply.headers == [.init("x-user", "<tester>"), .init("x-plain", "1")])
    }
}
