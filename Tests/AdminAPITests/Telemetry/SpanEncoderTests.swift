// SPDX-License-Identifier: Apache-2.0

import Common
import Foundation
import NIOCore
import Testing

@testable import AdminAPI

@Suite struct SpanEncoderTests {
    private static let trace = TraceContext(
        traceHigh: 0x463a_c35c_9f64_1311, traceLow: 0x4848_5a39_53bb_6124, span: 0xa2fb_4a1d_1a96_d312,
        parent: 0x05e3_ac9a_4f6e_3b90, isSampled: true)
    private static let root = TraceContext(traceHigh: 0, traceLow: 0xab, span: 0xcd, isSampled: true)
    private static let formats: [TracingConfig.Format] = [.zipkinV1, .zipkinV2, .otlp]

    private func bytes(
        _ format: TracingConfig.Format, _ records: ExchangeRecords, _ trace: TraceContext = Self.trace,
        own: String = "web"
    ) -> [UInt8] {
        let encoder = SpanEncoder(format: format, own: ServiceIdentity(name: own, version: "1.0", app: "shop"))
        var out = ByteBuffer()
        for record in records.records {
            encoder.write(
                record, trace, of: records, isClean: records.isClean(record), start: 1_700_000_000_000_000, to: &out)
        }
        return Array(out.readableBytesView)
    }

    private func client() throws -> ExchangeRecords {
        try ended(target: "/items?x=1", host: "cart:80") { record in
            record.service = service("cart")
            record.endpoint = try Endpoint("rest://10.0.0.5:8080")
            record.peer = try SocketAddress(ipAddress: "127.0.0.1", port: 40_000)
        }
    }

    private func server() throws -> ExchangeRecords {
        try ended(.provider, method: "POST", target: "/pay", host: "web") { record in
            record.caller = "shop"
            record.peer = try SocketAddress(ipAddress: "10.0.0.9", port: 40_000)
            record.endpoint = try Endpoint("rest://127.0.0.1:8080")
            record.status = 500
            record.attempts = 2
        }
    }

    @Test("a span is called what its route calls it, in all formats")
    func operation() throws {
        for format in Self.formats {
            let records = ended { $0.operation = "shop:80/\"*" }
            let span = try object(self.bytes(format, records))
            #expect(span["name"] as? String == "shop:80/\"*")
        }
    }

    // MARK: Zipkin

    @Test("Zipkin's second format: an outgoing call is a span of a client")
    func v2Client() throws {
        #expect(
            try sorted(self.bytes(.zipkinV2, self.client()))
                == sorted(
                    """
                    {"traceId": "463ac35c9f64131148485a3953bb6124", "id": "a2fb4a1d1a96d312",
                     "parentId": "05e3ac9a4f6e3b90", "name": "cart/items", "kind": "CLIENT",
                     "timestamp": 1700000000000000, "duration": 12345, "localEndpoint": {"serviceName": "web"},
                     "remoteEndpoint": {"serviceName": "cart", "ipv4": "10.0.0.5", "port": 8080},
                     "tags": {"http.method": "GET", "http.path": "/items", "http.host": "cart:80",
                              "http.status_code": "200"}}
                    """.utf8))
    }

    @Test("Zipkin's second format: an incoming call is a span of a server, perhaps shared with its client")
    func v2Server() throws {
        var trace = Self.root
        (trace.isShared, trace.isDebug) = (true, true)
        #expect(
            try sorted(self.bytes(.zipkinV2, self.server(), trace))
                == sorted(
                    """
                    {"traceId": "00000000000000ab", "id": "00000000000000cd", "name": "web/pay", "kind": "SERVER",
                     "debug": true, "timestamp": 1700000000000000, "duration": 12345, "shared": true,
                     "localEndpoint": {"serviceName": "web"},
                     "remoteEndpoint": {"serviceName": "shop", "ipv4": "10.0.0.9"},
                     "tags": {"http.method": "POST", "http.path": "/pay", "http.host": "web",
                              "http.status_code": "500", "mesher.retries": "1", "error": "500"}}
                    """.utf8))
    }

    @Test("Zipkin's first format: an outgoing call")
    func v1Client() throws {
        func tag(_ key: String, _ value: String) -> String {
            "{\"key\": \"\(key)\", \"value\": \"\(value)\", \"endpoint\": {\"serviceName\": \"web\"}}"
        }
        let tags = [
            tag("http.method", "GET"), tag("http.path", "/items"), tag("http.host", "cart:80"),
            tag("http.status_code", "200"),
        ]
        #expect(
            try sorted(self.bytes(.zipkinV1, self.client()))
                == sorted(
                    """
                    {"traceId": "463ac35c9f64131148485a3953bb6124", "id": "a2fb4a1d1a96d312",
                     "parentId": "05e3ac9a4f6e3b90", "name": "cart/items",
                     "timestamp": 1700000000000000, "duration": 12345,
                     "annotations": [
                        {"timestamp": 1700000000000000, "value": "cs", "endpoint": {"serviceName": "web"}},
                        {"timestamp": 1700000000012345, "value": "cr", "endpoint": {"serviceName": "web"}}],
                     "binaryAnnotations": [\(tags.joined(separator: ","))]}
                    """.utf8))
    }

    @Test("Zipkin's first format: who shares a span leaves its time to the client")
    func v1Server() throws {
        let own = try object(self.bytes(.zipkinV1, self.server()))
        #expect(own["timestamp"] as? Int == 1_700_000_000_000_000 && own["duration"] as? Int == 12_345)
        var trace = Self.trace
        trace.isShared = true
        let shared = try object(self.bytes(.zipkinV1, self.server(), trace))
        #expect(shared["timestamp"] == nil && shared["duration"] == nil && shared["shared"] == nil)
        let annotations = try #require(shared["annotations"] as? [[String: Any]])
        #expect(annotations.map { $0["value"] as? String } == ["sr", "ss"])
        #expect(annotations.map { $0["timestamp"] as? Int } == [1_700_000_000_000_000, 1_700_000_000_012_345])
        let tags = try #require(shared["binaryAnnotations"] as? [[String: Any]])
        #expect(tags.last?["key"] as? String == "error" && tags.last?["value"] as? String == "500")
    }

    // MARK: OpenTelemetry

    /// The attributes by name, numbers as texts in brackets.
    private func attributes(_ span: [String: Any]) throws -> [String: String] {
        let list = try #require(span["attributes"] as? [[String: Any]])
        let pairs = try list.map { attribute in
            let value = try #require(attribute["value"] as? [String: String])
            return (
                try #require(attribute["key"] as? String),
                value["stringValue"] ?? value["intValue"].map { "[\($0)]" } ?? "none"
            )
        }
        return Dictionary(pairs) { _, _ in "twice" }
    }

    @Test("OTLP: an outgoing call")
    func otlpClient() throws {
        let span = try object(self.bytes(.otlp, self.client()))
        #expect(span["traceId"] as? String == "463ac35c9f64131148485a3953bb6124")
        #expect(
            span["spanId"] as? String == "a2fb4a1d1a96d312" && span["parentSpanId"] as? String == "05e3ac9a4f6e3b90")
        #expect(span["name"] as? String == "GET" && span["kind"] as? Int == 3 && span["flags"] as? Int == 1)
        #expect(span["startTimeUnixNano"] as? String == "1700000000000000000")
        #expect(span["endTimeUnixNano"] as? String == "1700000000012345000")
        #expect(span["status"] == nil)
        #expect(
            try self.attributes(span) == [
                "http.request.method": "GET", "url.path": "/items", "url.query": "x=1", "url.scheme": "http",
                "http.response.status_code": "[200]", "server.address": "cart", "server.port": "[80]",
                "network.peer.address": "10.0.0.5", "network.peer.port": "[8080]", "peer.service": "cart",
            ])
    }

    @Test("OTLP: an incoming call, which begins a trace and fails")
    func otlpServer() throws {
        let span = try object(self.bytes(.otlp, self.server(), Self.root))
        #expect(span["traceId"] as? String == "000000000000000000000000000000ab")
        #expect(span["parentSpanId"] == nil && span["kind"] as? Int == 2 && span["name"] as? String == "POST")
        #expect((span["status"] as? [String: Int]) == ["code": 2])
        #expect(
            try self.attributes(span) == [
                "http.request.method": "POST", "url.path": "/pay", "url.scheme": "http",
                "http.response.status_code": "[500]", "server.address": "web", "client.address": "10.0.0.9",
                "peer.service": "shop", "error.type": "500", "http.request.resend_count": "[1]",
            ])
    }

    @Test(
        "hosts with and without a port",
        arguments: [
            ("cart", "cart", nil), ("cart:8080", "cart", "[8080]"), ("[::1]:80", "[::1]", "[80]"),
            ("[::1]", "[::1]", nil),
            ("", nil, nil),
        ] as [(String, String?, String?)])
    func hosts(host: String, name: String?, port: String?) throws {
        let attributes = try self.attributes(try object(self.bytes(.otlp, ended(host: host))))
        #expect(attributes["server.address"] == name && attributes["server.port"] == port)
    }

    @Test("OTLP: calls of gRPC have the name of their method")
    func grpc() throws {
        let records = ended(method: "POST", target: "/shop.v1.Cart/Add") { record in
            record.isGRPC = true
            record.grpcStatus = 5
        }
        let span = try object(self.bytes(.otlp, records))
        let attributes = try self.attributes(span)
        #expect(span["name"] as? String == "shop.v1.Cart/Add" && (span["status"] as? [String: Int]) == ["code": 2])
        #expect(attributes["rpc.system"] == "grpc" && attributes["rpc.service"] == "shop.v1.Cart")
        #expect(attributes["rpc.method"] == "Add" && attributes["rpc.grpc.status_code"] == "[5]")
        #expect(attributes["error.type"] == "grpc 5")
        let zipkin = try object(self.bytes(.zipkinV2, records))
        let tags = try #require(zipkin["tags"] as? [String: String])
        #expect(tags["grpc.status_code"] == "5" && tags["error"] == "grpc 5" && tags["http.status_code"] == "200")
    }

    // MARK: All formats

    @Test(
        "what counts as an error",
        arguments: [
            (.consumer, 200, nil, nil, nil), (.consumer, 399, nil, nil, nil), (.consumer, 400, nil, nil, "400"),
            (.consumer, 503, nil, nil, "503"), (.provider, 404, nil, nil, nil), (.provider, 499, nil, nil, nil),
            (.provider, 500, nil, nil, "500"), (.consumer, 200, 0, nil, nil), (.provider, 200, 13, nil, "grpc 13"),
            (.consumer, 502, nil, .connectFailed, "connect_failed"), (.provider, 0, nil, .clientGone, "client_gone"),
        ] as [(CallSide, Int, Int?, ProxyError.Reason?, String?)])
    func errors(side: CallSide, status: Int, grpc: Int?, reason: ProxyError.Reason?, expected: String?) throws {
        let records = ended(side) { record in
            (record.status, record.grpcStatus, record.reason) = (status, grpc, reason)
            record.isGRPC = grpc != nil
        }
        let v2 = try object(self.bytes(.zipkinV2, records))
        let tags = try #require(v2["tags"] as? [String: String])
        #expect(tags["error"] == expected && tags["http.status_code"] == (status > 0 ? "\(status)" : nil))
        let otlp = try object(self.bytes(.otlp, records))
        #expect(try self.attributes(otlp)["error.type"] == expected)
        #expect((otlp["status"] != nil) == (expected != nil))
        let v1 = try object(self.bytes(.zipkinV1, records))
        let annotations = try #require(v1["binaryAnnotations"] as? [[String: Any]])
        let errors = annotations.filter { $0["key"] as? String == "error" }
        #expect(errors.map { $0["value"] as? String } == (expected.map { [$0] } ?? []))
    }

    @Test("a call of a service that nobody knows has a name too, and hardly anything else")
    func unknown() throws {
        let records = ended(target: "", host: "") { $0.duration = .nanoseconds(1) }
        let v2 = try object(self.bytes(.zipkinV2, records))
        #expect(v2["name"] as? String == "unknown/" && v2["duration"] as? Int == 1)
        let otlp = try object(self.bytes(.otlp, records))
        #expect(otlp["endTimeUnixNano"] as? String == "1700000000000001000")
        #expect(try self.attributes(otlp)["peer.service"] == nil)
    }

    @Test("endpoints of IPv6")
    func v6() throws {
        let client = try ended { $0.endpoint = try Endpoint("rest://[fd00::1]:8080") }
        let remote = try #require(try object(self.bytes(.zipkinV2, client))["remoteEndpoint"] as? [String: Any])
        #expect(remote["ipv6"] as? String == "fd00::1" && remote["port"] as? Int == 8080 && remote["ipv4"] == nil)
        let server = try ended(.provider) { $0.peer = try SocketAddress(ipAddress: "fd00::2", port: 1) }
        let peer = try #require(try object(self.bytes(.zipkinV2, server))["remoteEndpoint"] as? [String: Any])
        #expect(peer["ipv6"] as? String == "fd00::2")
    }

    @Test("no client can break out of a string", arguments: formats)
    func hostile(format: TracingConfig.Format) throws {
        let target = Array("/a\"},{\"\r\n\u{1b}\\/b?\"q\u{0}".utf8) + [0xff]
        for side in CallSide.allCases {
            let records = ended(side, method: "G'T", target: target, host: "h\"\n:80") { record in
                record.isGRPC = true
                record.caller = "c\"\u{7f}"
                record.service = service("s\"\n")
            }
            let bytes = self.bytes(format, records)
            #expect(bytes.allSatisfy { $0 >= 0x20 && $0 != 0x7f })
            let span = try object(bytes)
            let path = "/a\"},{\"\r\n\u{1b}\\/b"
            if format == .otlp {
                let attributes = try self.attributes(span)
                #expect(attributes["url.path"] == path && attributes["url.query"] == "\"q\u{0}\u{fffd}")
                #expect(attributes["server.address"] == "h\"\n" && attributes["http.request.method"] == "G'T")
            } else {
                #expect(span["name"] as? String == (side == .consumer ? "s\"\n" : "web") + path)
            }
        }
    }

    @Test("there is room for the longest texts, whatever becomes of them", arguments: formats)
    func longest(format: TracingConfig.Format) throws {
        for (path, query) in [(2048, 0), (1, 2047), (1024, 1024)] {
            for side in CallSide.allCases {
                let target =
                    [UInt8](repeating: 0xff, count: path - 1) + [.slash] + [UInt8](repeating: 0x3f, count: query)
                let records = try ended(
                    side, method: String(repeating: "~", count: 32), target: target,
                    host: String(repeating: "\u{1}", count: 255)
                ) { record in
                    (record.isGRPC, record.grpcStatus, record.status, record.attempts) = (true, .max, .max, .max)
                    (record.requestBytes, record.responseBytes, record.reason) = (.max, .max, .upstreamTimeout)
                    record.caller = String(repeating: "\u{1}", count: 30_000)
                    record.service = service(String(repeating: "\u{1}", count: 1000))
                    record.endpoint = try Endpoint("rest://[1111:2222:3333:4444:5555:6666:7777:8888]:65535")
                    record.peer = try SocketAddress(ipAddress: "1111:2222:3333:4444:5555:6666:7777:8888", port: 1)
                }
                let bytes = self.bytes(format, records, own: String(repeating: "\u{1}", count: 300))
                let span = try object(bytes)
                #expect(span["name"] != nil && bytes.count > 2048)
            }
        }
    }

    @Test("a post of several spans is a document", arguments: formats)
    func frame(format: TracingConfig.Format) throws {
        let encoder = SpanEncoder(format: format, own: ServiceIdentity(name: "we\"b", version: "1.0", app: "shop"))
        let span = try self.bytes(format, self.client())
        let document = encoder.frame.start + span + [.comma] + span + encoder.frame.end
        guard format == .otlp else {
            let spans = try JSONSerialization.jsonObject(with: Data(document)) as? [[String: Any]]
            #expect(spans?.count == 2)
            return
        }
        let resources = try #require(try object(document)["resourceSpans"] as? [[String: Any]])
        #expect(resources.count == 1)
        let resource = try #require(resources[0]["resource"] as? [String: Any])
        #expect(
            try self.attributes(resource)
                == ["service.name": "we\"b", "service.version": "1.0", "service.namespace": "shop"])
        let scopes = try #require(resources[0]["scopeSpans"] as? [[String: Any]])
        #expect((scopes.first?["scope"] as? [String: String]) == ["name": "mesher"])
        #expect((scopes.first?["spans"] as? [[String: Any]])?.count == 2)
    }
}
