// SPDX-License-Identifier: Apache-2.0

import Common
import Ingress
import TestSupport
import Testing

@testable import Proxy

@Suite struct RequestSourceTests {
    private let services = [
        "cart": ["rest://10.0.0.5:1"], "orders": ["rest://10.0.0.7:1"], "stock": ["rest://10.0.0.7:2"],
    ]

    private func source(_ fields: [String], peer: String) throws -> RequestSource {
        let exchanges = TestExchange(try TestExchange.directory(self.services))
        var exchange = try exchanges.make(["GET / HTTP/1.1", "Host: web"] + fields, peer: peer)
        let source = exchange.resolveSource()
        #expect(exchange.resolveSource() === source)  // found once
        exchange.reset()
        #expect(exchange.resolveSource() === exchange.resolveSource() && exchange.resolveSource().origin == .unknown)
        return source
    }

    @Test(
        "the context, the plain header, the address, nobody: in this order",
        arguments: [
            (
                [#"x-cse-context: {"x-cse-src-microservice":"a"}"#, "x-cse-src-microservice: b"], "10.0.0.5", "a",
                "header"
            ),
            ([#"x-cse-context: {"other":"a"}"#, "X-Cse-Src-Microservice: b"], "10.0.0.5", "b", "header"),
            (["x-cse-context: no JSON", "x-cse-src-microservice: b"], "10.0.0.5", "b", "header"),
            (
                [#"x-cse-context: {"x-cse-src-microservice":""}"#, "x-cse-src-microservice:"], "10.0.0.5", "cart",
                "address"
            ),
            ([], "10.0.0.5", "cart", "address"), ([], "::ffff:10.0.0.5", "cart", "address"),
            ([], "10.0.0.6", "", "unknown"), ([], "10.0.0.7", "", "unknown"), ([], "127.0.0.1", "", "unknown"),
            ([#"x-cse-context: {"x-cse-src-microservice":"caf\u00e9"}"#], "127.0.0.1", "café", "header"),
        ] as [([String], String, String, String)])
    func order(fields: [String], peer: String, service: String, origin: String) throws {
        let source = try self.source(fields, peer: peer)
        #expect(source.service == service && source.origin.rawValue == origin)
        #expect(
            source.version == (origin == "address" ? "1.2" : "") && source.app == (origin == "address" ? "default" : "")
        )
    }

    @Test("a caller that was seen before costs nothing new, and one does not pass for another")
    func cached() throws {
        let exchanges = TestExchange(try TestExchange.directory(self.services))
        func source(_ field: String) throws -> RequestSource {
            var exchange = try exchanges.make(["GET / HTTP/1.1", "Host: web", field], peer: "127.0.0.1")
            return exchange.resolveSource()
        }
        let first = try source("x-cse-src-microservice: a")
        #expect(try source("x-cse-src-microservice: a") === first)
        #expect(try source("x-cse-context: a").origin == .unknown)  // the same bytes in a header of another kind
        for index in 0..<1000 {
            #expect(try source("x-cse-src-microservice: s\(index)").service == "s\(index)")
        }
        #expect(try source("x-cse-src-microservice: a").service == "a")
        let long = String(repeating: "x", count: 5000)
        #expect(try source("x-cse-src-microservice: \(long)").service == long)
    }
}

@Suite struct LocalApplicationTests {
    @Test("the marks of the way are not the application's business, and its own host is said")
    func stripped() throws {
        let config = try TestSidecar.config(["mesher.servicePorts": "rest:8080"])
        let stages = IngressStages(config, ProviderPolicy(config))
        let result = try TestExchange(try TestExchange.directory([:])).run(
            stages.inOrder,
            ["GET / HTTP/1.1", "Host: web:1", "x-mesher-hop: a", "X-Mesher-Hop: b", "x-cse-context: {}"])
        #expect(result.error == nil && result.port == 8080)
        #expect(result.fields == ["host": "web:1", "x-forwarded-host": "web:1", "x-cse-context": "{}"])
    }

    @Test(
        "the first port of a list is asked for, and what is no port asks for nothing",
        arguments: [
            ("443, 443", 8080), ("8081 , 443", 8081), ("\t8081,x", 8081), ("https", 8080), ("", 8080), ("0", 8080),
            ("65536", 8080), (",8081", 8080), ("8081x", 8080), ("8081 8082", 8080), ("-1", 8080), ("008081", 8080),
        ])
    func forwardedPort(value: String, port: Int) throws {
        let config = try TestSidecar.config(["mesher.servicePorts": "rest:8080,admin:8081"])
        let result = try TestExchange(try TestExchange.directory([:])).run(
            IngressStages(config, ProviderPolicy(config)).inOrder,
            ["GET / HTTP/1.1", "Host: web", "X-Forwarded-Port: \(value)"])
        #expect(result.error == nil && result.port == port)
    }

    @Test(
        "where nothing else chooses the port, it must be one",
        arguments: [("8082, 443", 8082 as Int?), ("8082", 8082), ("https", nil), ("0", nil), ("", nil)])
    func onlyForwardedPort(value: String, port: Int?) throws {
        let config = try TestSidecar.config([:])
        let result = try TestExchange(try TestExchange.directory([:])).run(
            IngressStages(config, ProviderPolicy(config)).inOrder,
            ["GET / HTTP/1.1", "Host: web", "X-Forwarded-Port: \(value)"])
        #expect(result.port == port)
        #expect(result.error?.status == (port == nil ? 400 : nil))
    }
}

@Suite struct ClaimTests {
    @Test(
        "what a peer that is not trusted says of its client is gone, however it is spelled", arguments: [false, true])
    func removed(isTrusted: Bool) throws {
        let fields = [
            "X-Forwarded-For: 1", "X_Forwarded_For: 2", "x-forwarded_for: 3", "X-Real-IP: 4", "X_REAL_IP: 5",
            "X_Forwarded_Host: 6", "x_forwarded_proto: 7", "Forwarded: for=8", "x-mark: vip", "X-Mark: none",
        ]
        let others = ["X_Forwarded_Port: 9", "my_field: 10"]
        var exchange = try TestExchange(try TestExchange.directory([:])).make(
            ["GET / HTTP/1.1", "Host: web"] + fields + others, peer: "10.0.0.1")
        exchange.isPeerTrusted = isTrusted
        exchange.removeUntrustedClaims()
        let lines = exchange.requestHeaders.lines.map { "\($0.name): \($0.value)" }
        #expect(lines == ["Host: web"] + (isTrusted ? fields : []) + others)
    }

    @Test("the scheme is what the client speaks", arguments: [false, true])
    func scheme(isSecure: Bool) throws {
        var exchange = try TestExchange(try TestExchange.directory([:])).make(
            ["GET / HTTP/1.1", "Host: web", "X-Forwarded-Proto: ftp", "x-forwarded-proto: gopher"], peer: "10.0.0.1")
        exchange.isSecure = isSecure
        exchange.removeUntrustedClaims()
        let lines = exchange.requestHeaders.lines.map { "\($0.name): \($0.value)" }
        #expect(lines == ["Host: web", "X-Forwarded-Proto: \(isSecure ? "https" : "http")"])
    }
}
