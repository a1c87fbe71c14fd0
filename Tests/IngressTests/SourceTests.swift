// SPDX-License-Identifier: Apache-2.0

import Common
import Ingress
import Proxy
import TestSupport
import Testing

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
}
