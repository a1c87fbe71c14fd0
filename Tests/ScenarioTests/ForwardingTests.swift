// SPDX-License-Identifier: Apache-2.0

import Common
import Mesher
import TestSupport
import Testing

/// Promise: the worked examples of the traffic specification, byte by byte.
@Suite(.timeLimit(.minutes(1))) struct ForwardingTests {
    @Test("an outgoing request goes to the service by name, with the caller's name and the port")
    func outgoing() async throws {
        let origin = try await TestOrigin.start { _ in
            TestOrigin.response("[]", headers: "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nX-Kept: 1\r\nKeep-Alive: 1\r\n")
        }
        let sidecar = try await TestSidecar.start(services: ["cart": [origin.port]])
        let connection = try await sidecar.connectOutgoing()
        try await connection.send(
            "GET http://cart:8080/items?id=1 HTTP/1.1\r\nHost: cart:8080\r\nAccept: application/json\r\n"
                + "Proxy-Connection: keep-alive\r\n\r\n")
        let answer = await connection.read(until: "[]")
        #expect(
            answer
                == "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nX-Kept: 1\r\n\r\n[]")
        let mark = try #require(origin.heads.first?.firstMatch(of: /x-mesher-hop: [0-9a-f]{16}\r\n/))
        #expect(
            origin.heads.map { $0.replacing(mark.output, with: "") } == [
                "GET /items?id=1 HTTP/1.1\r\nHost: cart:8080\r\nAccept: application/json\r\nX-Forwarded-Port: 8080\r\n"
                    + "x-cse-context: {\"x-cse-src-microservice\":\"web\"}\r\n\r\n"
            ])
        await connection.close()
        try await sidecar.stop()
        await origin.stop()
    }

    @Test("an incoming request goes to the local application, which learns the host that was asked for")
    func incoming() async throws {
        let origin = try await TestOrigin.start { _ in TestOrigin.response("ok") }
        let sidecar = try await TestSidecar.start(services: [:], applicationPort: origin.port)
        let connection = try await sidecar.connectIncoming()
        try await connection.send("GET /items HTTP/1.1\r\nHost: cart:8080\r\nX-Forwarded-Port: 1\r\n\r\n")
        #expect(await connection.read(until: "ok").hasPrefix("HTTP/1.1 200 OK\r\n"))
        #expect(
            origin.heads == [
                "GET /items HTTP/1.1\r\nHost: cart:8080\r\nX-Forwarded-Port: 1\r\nX-Forwarded-Host: cart:8080\r\n\r\n"
            ])
        await connection.close()
        try await sidecar.stop()
        await origin.stop()
    }

    @Test(
        "what the application passes along as context is kept, but for the caller's name",
        arguments: [
            (#"{"a":"b","x-cse-src-microservice":"evil"}"#, #"{"a":"b","x-cse-src-microservice":"web"}"#),
            ("not json", #"{"x-cse-src-microservice":"web"}"#), (#"{"a":1}"#, #"{"x-cse-src-microservice":"web"}"#),
        ])
    func context(sent: String, forwarded: String) async throws {
        let origin = try await TestOrigin.start { _ in TestOrigin.response("ok") }
        let sidecar = try await TestSidecar.start(services: ["cart": [origin.port]])
        let connection = try await sidecar.connectOutgoing()
        try await connection.send("GET http://cart/ HTTP/1.1\r\nHost: cart\r\nX-Cse-Context: \(sent)\r\n\r\n")
        _ = await connection.read(until: "ok")
        #expect(origin.heads.first?.hasSuffix("x-cse-context: \(forwarded)\r\n\r\n") ?? false)
        await connection.close()
        try await sidecar.stop()
        await origin.stop()
    }

    @Test(
        "a request that cannot be forwarded is answered with its reason",
        arguments: [
            ("GET /items HTTP/1.1", 400, "destination_unresolved", "Invalid uri, please check:"),
            (
                "GET http://127.0.0.1:PORT/x HTTP/1.1", 400, "destination_unresolved",
                "uri format must be: http://serviceName/api"
            ),
            ("GET http://nosuch/ HTTP/1.1", 502, "no_endpoint", "lb: No available instance, key: nosuch("),
            (
                "GET http://empty/ HTTP/1.1", 502, "no_endpoint",
                "lb: No available instance, key: empty(version:latest|app:default)"
            ),
            ("GET http://down/ HTTP/1.1", 502, "connect_failed", "connect to down failed"),
            ("CONNECT nosuch:443 HTTP/1.1", 405, "method_refused", "method not allowed"),
        ])
    func errors(line: String, status: Int, reason: String, text: String) async throws {
        let sidecar = try await TestSidecar.start(
            services: ["cart": [], "empty": [], "down": [1]], ["cse.protocols.http.listenAddress": "127.0.0.1:0"])
        let line = line.replacing("PORT", with: "0")
        let connection = try await sidecar.connectOutgoing()
        try await connection.send("\(line)\r\nHost: x\r\n\r\n")
        let answer = await connection.read(until: text)
        #expect(answer.hasPrefix("HTTP/1.1 \(status) "))
        #expect(answer.contains("\r\nx-mesher-error: \(reason)\r\n"))
        #expect(answer.contains("\r\n\r\n\(text)"))
        await connection.close()
        try await sidecar.stop()
    }

    @Test("without service ports the header decides, and without either the answer says what to do")
    func localPort() async throws {
        let origin = try await TestOrigin.start { _ in TestOrigin.response("ok") }
        let sidecar = try await TestSidecar.start(services: [:])
        let connection = try await sidecar.connectIncoming()
        try await connection.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        let refused = await connection.read(until: "mesher start")
        #expect(refused.hasPrefix("HTTP/1.1 502 "))
        #expect(refused.contains("[rest] is not supported, [web] didn't set env [SERVICE_PORTS]"))
        connection.forget()
        try await connection.send("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Port: \(origin.port)\r\n\r\n")
        #expect(await connection.read(until: "ok").hasPrefix("HTTP/1.1 200 "))
        connection.forget()
        try await connection.send("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Port: 0x50\r\n\r\n")
        #expect(await connection.read(until: "no port").hasPrefix("HTTP/1.1 400 "))
        await connection.close()
        try await sidecar.stop()
        await origin.stop()
    }

    @Test("no caller reaches the sidecar's own ports, nor an instance that wants TLS in plain text")
    func refusedPlaces() async throws {
        let origin = try await TestOrigin.start { _ in "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" }
        let port = origin.port
        await origin.stop()
        let admin = try await TestSidecar.freePort()
        let sidecar = try await TestSidecar.start(
            services: ["cart": []], ["cse.protocols.rest-admin.listenAddress": "127.0.0.1:\(admin)"])
        let incoming = try await sidecar.connectIncoming()
        try await incoming.send("GET /v1/mesher/version HTTP/1.1\r\nHost: a\r\nX-Forwarded-Port: \(admin)\r\n\r\n")
        #expect(await incoming.read(until: "sidecar's own").hasPrefix("HTTP/1.1 403 "))
        try sidecar.setRegistry("service: [{name: cart, instance: [\"rest://127.0.0.1:\(port)?sslEnabled=true\"]}]\n")
        let outgoing = try await sidecar.connectOutgoing()
        try await sidecar.waitForDirectory { $0["cart"]?.instances.isEmpty == false }
        try await sidecar.settle()
        try await outgoing.send("GET http://cart/ HTTP/1.1\r\nHost: cart\r\n\r\n")
        #expect(await outgoing.read(until: "TLS").hasPrefix("HTTP/1.1 502 "))
        await incoming.close()
        await outgoing.close()
        try await sidecar.stop()
    }

    @Test("requests take turns over the instances, and follow the registry file while it is edited")
    func roundRobin() async throws {
        var origins: [TestOrigin] = []
        for index in 0..<3 {
            origins.append(try await TestOrigin.start { _ in TestOrigin.response("origin-\(index);") })
        }
        let ports = origins.map(\.port)
        let sidecar = try await TestSidecar.start(services: ["cart": ports], ["mesher.workers": "1"])
        let connection = try await sidecar.connectOutgoing()
        for _ in 0..<30 {
            try await connection.send("GET http://CART/ HTTP/1.1\r\nHost: cart\r\n\r\n")
            _ = await connection.read(until: ";")
            connection.forget()
        }
        #expect(origins.map(\.heads.count) == [10, 10, 10])
        try sidecar.setServices(["cart": [ports[2]]])
        try await sidecar.waitForDirectory { $0["cart"]?.instances.count == 1 }
        try await sidecar.settle()
        for _ in 0..<5 {
            try await connection.send("GET http://cart/ HTTP/1.1\r\nHost: cart\r\n\r\n")
            #expect(await connection.read(until: ";").hasSuffix("origin-2;"))
            connection.forget()
        }
        await connection.close()
        try await sidecar.stop()
        for origin in origins { await origin.stop() }
    }
}
