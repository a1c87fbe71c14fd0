// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import Testing

@testable import Proxy

/// What the fields of an HTTP/2 head mean.
@Suite struct HTTP2HeadTests {
    /// Decodes literal fields, as a client may send them.
    private static func block(_ fields: [(String, String)]) -> [UInt8] {
        var bytes: [UInt8] = []
        for (name, value) in fields {
            bytes += [0, UInt8(name.utf8.count)]
            bytes += Array(name.utf8)
            bytes.append(UInt8(value.utf8.count))
            bytes += Array(value.utf8)
        }
        return bytes
    }

    private static func read(
        _ fields: [(String, String)], endStream: Bool = true
    ) -> (violation: HTTP2Head.Violation?, head: RequestHead, lines: [String]) {
        var decoder = HPACKDecoder()
        var block = HeaderBlock()
        var pseudo = PseudoFields()
        guard decoder.decode(Self.block(fields).rawSpan, limits: HeadLimits(), into: &block, &pseudo) == .complete
        else {
            return (.malformed, RequestHead(), [])
        }
        var head = RequestHead()
        let violation = HTTP2Head.read(pseudo, &block, endStream: endStream, into: &head)
        return (violation, head, block.lines.map { "\($0.name): \($0.value)" })
    }

    private static let get = [(":method", "GET"), (":scheme", "http"), (":path", "/a?b"), (":authority", "cart:8080")]

    @Test("a request for a service, as everything behind knows it")
    func request() {
        let (violation, head, lines) = Self.read(Self.get + [("cookie", "a=1"), ("x-a", "b"), ("cookie", "c=2")])
        #expect(violation == nil)
        #expect(head.method == .get && head.form == .origin && head.flags.contains(.absoluteTarget))
        #expect(head.authority.port == 8080 && head.path.count == 4 && !head.hasBody)
        #expect(lines == ["host: cart:8080", "x-a: b", "cookie: a=1; c=2"])
    }

    @Test("the length of a body, or that nobody knows it")
    func bodies() {
        #expect(Self.read(Self.get, endStream: false).head.flags.contains(.chunked))
        let known = Self.read(Self.get + [("content-length", "12")], endStream: false).head
        #expect(known.contentLength == 12 && !known.flags.contains(.chunked))
        #expect(Self.read(Self.get + [("content-length", "12")]).violation == .malformed)
        #expect(Self.read(Self.get + [("content-type", "application/grpc+proto")]).head.flags.contains(.grpc))
        #expect(!Self.read(Self.get + [("content-type", "application/grpc-web")]).head.flags.contains(.grpc))
    }

    @Test(
        "a method that comes with a body, and without one, is told on with its length",
        arguments: [
            ("POST", true, true), ("PUT", true, true), ("PATCH", true, true), ("GET", true, false),
            ("DELETE", true, false), ("HEAD", true, false), ("POST", false, false),
        ])
    func emptyBodies(method: String, endStream: Bool, hasLength: Bool) {
        let fields = [(":method", method), (":scheme", "http"), (":path", "/"), (":authority", "cart")]
        let (violation, head, lines) = Self.read(fields, endStream: endStream)
        #expect(violation == nil && head.hasBody == !endStream)
        #expect(lines == ["host: cart"] + (hasLength ? ["content-length: 0"] : []))
        // Nothing is said twice.
        let told = Self.read(fields + [("content-length", "0")], endStream: endStream)
        #expect(told.violation == nil && told.lines == ["host: cart", "content-length: 0"])
    }

    @Test("trailers are welcome where te says so")
    func trailers() {
        #expect(Self.read(Self.get + [("te", "trailers")]).head.flags.contains(.acceptsTrailers))
        #expect(!Self.read(Self.get).head.flags.contains(.acceptsTrailers))
    }

    @Test(
        "requests that are malformed",
        arguments: [
            [(":method", "GET"), (":scheme", "http"), (":authority", "a")],
            [(":method", "GET"), (":path", "/"), (":authority", "a")],
            [(":scheme", "http"), (":path", "/"), (":authority", "a")],
            [(":method", "GET"), (":scheme", "http"), (":path", ""), (":authority", "a")],
            [(":method", "G T"), (":scheme", "http"), (":path", "/"), (":authority", "a")],
            get + [("connection", "close")], get + [("transfer-encoding", "chunked")], get + [("upgrade", "h2c")],
            get + [("te", "gzip")], get + [("host", "other")], get + [("te", "trailers"), ("te", "trailers")],
            get + [("te", "trailers"), ("te", "gzip")], get + [("te", "trailers, gzip")],
            get + [("content-length", "1"), ("content-length", "1")],
            get + [("content-length", "+1")], get + [(":status", "200")],
            [(":method", "CONNECT"), (":authority", "a:1"), (":path", "/"), (":scheme", "http")],
        ])
    func malformed(fields: [(String, String)]) { #expect(Self.read(fields).violation == .malformed) }

    @Test("requests that are well-formed, and refused with an answer")
    func refused() {
        func path(_ path: String) -> HTTP2Head.Violation? {
            Self.read([(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "a")]).violation
        }
        for bad in ["/../a", "a", "*", "/a#b", "/%2e%2e/a", "/a b"] { #expect(path(bad) == .refused(.target)) }
        #expect(Self.read([(":method", "GET"), (":scheme", "http"), (":path", "/")]).violation == .refused(.host))
        #expect(
            Self.read([(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "u@a")]).violation
                == .refused(.host))
        #expect(Self.read(Self.get + [("host", "cart:8080")]).violation == nil)
    }

    @Test(
        "what is left of a gRPC call's time, and what is none",
        arguments: [
            ("1H", TimeAmount.hours(1)), ("3M", .minutes(3)), ("7S", .seconds(7)), ("250m", .milliseconds(250)),
            ("5u", .microseconds(5)), ("99999999n", .nanoseconds(99_999_999)), ("", nil), ("S", nil), ("1", nil),
            ("123456789S", nil), ("-1S", nil), ("1 S", nil), ("1x", nil),
        ])
    func timeouts(text: String, amount: TimeAmount?) {
        #expect(GRPCStatus.timeout(Array(text.utf8).rawSpan) == amount)
    }

    @Test("messages of gRPC are percent-encoded")
    func messages() {
        #expect(GRPCStatus.encode("100 % ä\n") == "100 %25 %C3%A4%0A")
        let lines = LocalReply(ProxyError(.rateLimited)).lines(isGRPC: true, contentType: "application/grpc+json")
        let text = lines.map { String(decoding: $0.bytes, as: UTF8.self) }
        #expect(
            text == [
                "content-type: application/grpc+json\r\n", "grpc-status: 8\r\n", "grpc-message: too many requests\r\n",
                "x-mesher-error: rate_limited\r\n",
            ])
    }
}
