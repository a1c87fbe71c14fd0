// SPDX-License-Identifier: Apache-2.0

import Common
import Foundation
import NIOCore
import Testing

@testable import AdminAPI

@Suite struct AccessLogTests {
    private func bytes(
        _ format: LogConfig.AccessLogConfig.Format, _ records: ExchangeRecords, at time: Int = 1_700_000_000_123_456
    ) -> [UInt8] {
        var (log, out) = (AccessLog(format: format), ByteBuffer())
        for record in records.records {
            log.write(record, of: records, isClean: records.isClean(record), at: time, to: &out)
        }
        return Array(out.readableBytesView)
    }

    private func text(_ records: ExchangeRecords) -> String {
        String(decoding: self.bytes(.text, records), as: UTF8.self)
    }

    // MARK: Text

    @Test("text is exactly the original's")
    func original() throws {
        let records = try ended { $0.peer = try SocketAddress(ipAddress: "127.0.0.1", port: 40_000) }
        #expect(self.text(records) == "GET http://cart/items?x=1 from 127.0.0.1 200 12ms\n")
    }

    @Test("an incoming request has no host there, whatever its client has written")
    func incoming() throws {
        let records = try ended(.provider, method: "POST", target: "/pay", host: "shop:8080") { record in
            record.peer = try SocketAddress(ipAddress: "10.1.200.99", port: 1)
            record.status = 201
            record.duration = .microseconds(999)
        }
        #expect(self.text(records) == "POST /pay from 10.1.200.99 201 0ms\n")
    }

    @Test(
        "what is not known is a dash, and a client that got no answer counts as gone",
        arguments: [
            ("GET", "/", "", "GET / from - 499 12ms\n"), ("", "", "", "- - from - 499 12ms\n"),
            ("CONNECT", "", "cart:443", "CONNECT http://cart:443 from - 499 12ms\n"),
        ])
    func unknown(method: String, target: String, host: String, line: String) {
        #expect(self.text(ended(method: method, target: target, host: host) { $0.status = 0 }) == line)
    }

    @Test("clients of IPv6, and calls that took long")
    func long() throws {
        let records = try ended(target: "/") { record in
            record.peer = try SocketAddress(ipAddress: "2001:db8::1", port: 1)
            record.duration = .hours(30)
        }
        #expect(self.text(records) == "GET http://cart/ from 2001:db8::1 200 108000000ms\n")
    }

    // MARK: Hostile bytes

    private static let hostile =
        Array("/a\r\nGET /b from ::1 200 1ms\n\u{1b}[2J\"\\\u{0}\u{7f}\u{9b}\u{202e}".utf8) + [0xff]

    @Test("no client can end a line of text, or drive a terminal")
    func hostileText() {
        let line = self.text(ended(method: "G'T", target: Self.hostile, host: "ca\u{1b}t") { _ in })
        #expect(
            line == #"G'T http://ca\x1bt/a\r\nGET /b from ::1 200 1ms\n\x1b[2J"\\\x00\x7f\u009b\u202e\xff"#
                + " from - 200 12ms\n")
    }

    @Test("no client can end a line of JSON, or a string in it")
    func hostileJSON() throws {
        let bytes = self.bytes(
            .json, ended(method: "G'T", target: Self.hostile, host: "ca\u{1b}t") { $0.caller = "a\"\n" })
        #expect(bytes.last == .lineFeed && bytes.dropLast().allSatisfy { $0 >= 0x20 && $0 != 0x7f })
        let members = try object(bytes)
        #expect(members["method"] as? String == "G'T" && members["host"] as? String == "ca\u{1b}t")
        #expect(members["caller"] as? String == "a\"\n")
        #expect(members["path"] as? String == String(decoding: Self.hostile, as: UTF8.self))
    }

    @Test(
        "there is room for the longest texts, whatever becomes of them",
        arguments: [LogConfig.AccessLogConfig.Format.text, .json])
    func longest(format: LogConfig.AccessLogConfig.Format) {
        let host = String(repeating: "\u{85}", count: 127)
        for byte: UInt8 in [0xff, 0x00, 0x22, 0x5c] {
            let target = [UInt8](repeating: byte, count: 2048)
            let records = ended(method: String(repeating: "~", count: 32), target: target, host: host) { record in
                record.caller = String(repeating: "\u{202e}", count: 10_000)
                record.service = service(String(repeating: "\u{1}", count: 300))
                record.endpoints = EndpointSet([], tags: .init(version: String(repeating: "\"", count: 300), app: ""))
            }
            #expect(self.bytes(format, records).count > 2048)
        }
    }

    // MARK: JSON

    @Test("JSON has all that is known of an outgoing request")
    func json() throws {
        let endpoint = try Endpoint("rest://10.0.0.5:8080")
        let records = try ended(target: "/items?x=1", host: "cart:80") { record in
            record.peer = try SocketAddress(ipAddress: "127.0.0.1", port: 1)
            record.status = 503
            record.reason = .circuitOpen
            record.flags = [.late, .retriesOver, .callOver]
            record.attempts = 3
            (record.requestBytes, record.responseBytes) = (10, 20_000_000_000)
            record.service = service("cart")
            record.endpoints = EndpointSet([endpoint], tags: .init(version: "1.2", app: "shop", properties: ["a": "b"]))
            record.endpoint = endpoint
            record.trace = TraceContext(traceHigh: 0, traceLow: 0xabc, span: 0xdef, parent: 1, isSampled: true)
        }
        let line = self.bytes(.json, records)
        #expect(line.last == .lineFeed && !line.dropLast().contains(UInt8.lineFeed))
        #expect(
            try sorted(line)
                == sorted(
                    """
                    {"time": "2023-11-14T22:13:20.123Z", "direction": "outgoing", "method": "GET", "host": "cart:80",
                     "path": "/items?x=1", "protocol": "http", "status": 503, "milliseconds": 12.345,
                     "requestBytes": 10, "responseBytes": 20000000000, "client": "127.0.0.1", "service": "cart",
                     "route": "version:1.2|app:shop|a:b", "endpoint": "rest://10.0.0.5:8080", "retries": 2,
                     "reason": "circuit_open", "flags": "URX,UT",
                     "traceId": "00000000000000000000000000000abc",
                     "spanId": "0000000000000def"}
                    """.utf8))
    }

    @Test("of an incoming call of gRPC too")
    func grpc() throws {
        let records = try ended(.provider, method: "POST", target: "/shop.Cart/Add") { record in
            record.isGRPC = true
            record.grpcStatus = 14
            record.caller = "web"
            record.duration = .milliseconds(7)
            record.attempts = 0
            record.endpoint = try Endpoint("grpc://[fd00::1]:9000")
        }
        #expect(
            try sorted(self.bytes(.json, records, at: 1_699_999_999_999_999))
                == sorted(
                    """
                    {"time": "2023-11-14T22:13:19.999Z", "direction": "incoming", "method": "POST", "host": "cart",
                     "path": "/shop.Cart/Add", "protocol": "grpc", "status": 200, "grpcStatus": 14, "milliseconds": 7,
                     "requestBytes": 0, "responseBytes": 0, "client": "-", "caller": "web",
                     "endpoint": "grpc://[fd00::1]:9000", "retries": 0}
                    """.utf8))
    }

    @Test("lines of one second and of the next have their own times")
    func times() throws {
        var (log, out) = (AccessLog(format: .json), ByteBuffer())
        let records = ended()
        for time in [1_000_000, 1_009_999, 1_999_999, 2_000_000, 1_500_000, 86_400_000_000] {
            log.write(records.records[0], of: records, isClean: true, at: time, to: &out)
        }
        let lines = out.readableBytesView.split(separator: .lineFeed)
        #expect(
            try lines.map { try object($0)["time"] as? String } == [
                "1970-01-01T00:00:01.000Z", "1970-01-01T00:00:01.009Z", "1970-01-01T00:00:01.999Z",
                "1970-01-01T00:00:02.000Z", "1970-01-01T00:00:01.500Z", "1970-01-02T00:00:00.000Z",
            ])
    }

    @Test(
        "milliseconds are exact to a microsecond",
        arguments: [(0, "0"), (1, "0.001"), (50, "0.050"), (999, "0.999"), (1000, "1"), (12_340, "12.340")])
    func milliseconds(microseconds: Int64, expected: String) {
        let line = self.bytes(.json, ended { $0.duration = .microseconds(microseconds) })
        #expect(String(decoding: line, as: UTF8.self).contains("\"milliseconds\":\(expected),"))
    }
}
