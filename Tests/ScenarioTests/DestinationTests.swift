// SPDX-License-Identifier: Apache-2.0

import Common
import Mesher
import NIOCore
import TestSupport
import Testing

/// Promises: one sidecar may serve a machine; the resolver is a matter of configuration; no way leads to the sidecar
/// itself, and none twice through it.
@Suite(.timeLimit(.minutes(1))) struct DestinationTests {
    private func answer(_ connection: TestConnection, _ head: String, until text: String) async throws -> String {
        connection.forget()
        try await connection.send("\(head)\r\n\r\n")
        return await connection.read(until: text)
    }

    @Test("per-host: one listener on the address that is configured, and everything on it is outgoing")
    func perHost() async throws {
        let origin = try await TestOrigin.start { _ in TestOrigin.response("hello") }
        let port = try await TestSidecar.freePort()
        let sidecar = try await TestSidecar.start(
            services: ["cart": [origin.port]], applicationPort: origin.port,
            ["mesher.mode": "per-host", "cse.protocols.http.listenAddress": "0.0.0.0:\(port)"])
        #expect(sidecar.sidecar.incoming == nil)
        #expect(sidecar.sidecar.outgoing.ipAddress == "0.0.0.0" && sidecar.sidecar.outgoing.port == port)
        let connection = try await sidecar.connectOutgoing()
        let hello = try await self.answer(connection, "GET http://cart/ HTTP/1.1\r\nHost: a", until: "hello")
        #expect(hello.hasPrefix("HTTP/1.1 200 "))
        for own in ["127.0.0.1", "localhost", "127.0.0.2"] {
            let refused = try await self.answer(
                connection, "GET http://\(own):\(port)/x HTTP/1.1\r\nHost: a", until: "serviceName/api")
            #expect(refused.hasPrefix("HTTP/1.1 400 "), "\(own)")
        }
        let direct = try await self.answer(connection, "GET /x HTTP/1.1\r\nHost: a", until: "routeByHost")
        #expect(direct.hasPrefix("HTTP/1.1 400 ") && direct.contains("Invalid uri, please check:"))
        await connection.close()
        try await sidecar.stop()
        await origin.stop()
    }

    @Test("Host names the service of a request that was not sent as to a proxy, once that is asked for")
    func byHost() async throws {
        let origin = try await TestOrigin.start { _ in TestOrigin.response("hello") }
        let port = try await TestSidecar.freePort()
        let sidecar = try await TestSidecar.start(
            services: ["cart": [origin.port]], ["cse.protocols.http.listenAddress": "127.0.0.2:\(port)"])
        let connection = try await sidecar.connectOutgoing()
        let named = "GET /x HTTP/1.1\r\nHost: cart"
        let refused = try await self.answer(connection, named, until: "routeByHost")
        #expect(refused.hasPrefix("HTTP/1.1 400 ") && origin.heads.isEmpty)
        try await sidecar.change(["mesher.egress.routeByHost": "true"])
        for host in ["cart", "CART", "cart.", "cart:\(port)", "cart.:\(port)"] {
            let hello = try await self.answer(connection, "GET /x HTTP/1.1\r\nHost: \(host)", until: "hello")
            #expect(hello.hasPrefix("HTTP/1.1 200 "), "\(host)")
            let head = try #require(origin.heads.last).lowercased()
            let sent = host.hasPrefix("cart.") ? "cart." : "cart"
            #expect(head.hasPrefix("get /x http/1.1\r\n") && head.contains("\r\nhost: \(sent)\r\n"))
            #expect(!head.contains("x-forwarded-port") && head.contains("x-cse-context: "))
        }
        _ = try await self.answer(connection, "GET /x HTTP/1.1\r\nHost: cart.:8080", until: "hello")
        let head = try #require(origin.heads.last).lowercased()
        #expect(head.contains("\r\nhost: cart.:8080\r\n") && head.contains("\r\nx-forwarded-port: 8080\r\n"))
        // What is refused in a URL is refused here; a name that nobody has is answered as before.
        let own = "Host names the sidecar"
        for (host, status, text) in [
            ("crat", 400, "names no service: [crat]"), ("127.0.0.1:\(port)", 400, own), ("localhost:\(port)", 400, own),
            ("127.0.0.1:\(origin.port)", 403, "is no service"), ("localhost.", 403, "is no service"),
            ("169.254.169.254", 403, "is no service"), ("[::1]:1", 403, "is no service"),
        ] {
            let answer = try await self.answer(connection, "GET /x HTTP/1.1\r\nHost: \(host)", until: text)
            #expect(answer.hasPrefix("HTTP/1.1 \(status) "), "\(host)")
        }
        // The port that leads to the sidecar is none of the service's, whatever finds that.
        try await sidecar.change(["mesher.egress.routeByHost": "true", "plugin.destinationResolver.http": "authority"])
        _ = try await self.answer(connection, "GET /x HTTP/1.1\r\nHost: cart:\(port)", until: "hello")
        try await sidecar.change(["mesher.egress.routeByHost": "false"])
        #expect(try await self.answer(connection, named, until: "routeByHost").hasPrefix("HTTP/1.1 400 "))
        await connection.close()
        try await sidecar.stop()
        await origin.stop()
    }

    @Test("a request that was routed by Host and comes back is ended")
    func loopByHost() async throws {
        let port = try await TestSidecar.freePort()
        let proxy = try await TestOrigin.start { head in
            guard let back = try? await TestConnection.open(try .init(ipAddress: "127.0.0.1", port: port)),
                (try? await back.send(head)) != nil
            else { return "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n" }
            let answer = await back.read(until: "before")
            await back.close()
            return answer
        }
        let sidecar = try await TestSidecar.start(
            services: ["cart": [proxy.port]],
            ["cse.protocols.http.listenAddress": "127.0.0.2:\(port)", "mesher.egress.routeByHost": "true"])
        let connection = try await sidecar.connectOutgoing()
        let answer = try await self.answer(connection, "GET /x HTTP/1.1\r\nHost: cart", until: "before")
        #expect(answer.hasPrefix("HTTP/1.1 508 ") && proxy.heads.count == 1)
        await connection.close()
        try await sidecar.stop()
        await proxy.stop()
    }

    @Test("the configured resolver is asked, also after it was changed")
    func resolver() async throws {
        let origin = try await TestOrigin.start { _ in TestOrigin.response("hello") }
        let sidecar = try await TestSidecar.start(
            services: ["cart": [origin.port]], ["plugin.destinationResolver.http": "authority"])
        let connection = try await sidecar.connectOutgoing()
        let named = "GET http://cart/ HTTP/1.1\r\nHost: a"
        #expect(try await self.answer(connection, named, until: "name:port").hasPrefix("HTTP/1.1 400 "))
        let ip = "GET http://127.0.0.1:\(origin.port)/ HTTP/1.1\r\nHost: a"
        #expect(try await self.answer(connection, ip, until: "is no service").hasPrefix("HTTP/1.1 403 "))
        try await sidecar.change(["plugin.destinationResolver.http": "ip"])
        #expect(try await self.answer(connection, named, until: "hello").hasPrefix("HTTP/1.1 200 "))
        #expect(try await self.answer(connection, ip, until: "hello").hasPrefix("HTTP/1.1 200 "))
        let unknown = "GET http://10.255.0.1/ HTTP/1.1\r\nHost: a"
        let refused = try await self.answer(connection, unknown, until: "[10.255.0.1]")
        #expect(refused.hasPrefix("HTTP/1.1 400 ") && refused.contains("no service found for ip"))
        await connection.close()
        try await sidecar.stop()
        await origin.stop()
    }

    @Test("a registry cannot make the sidecar call itself")
    func ownEndpoint() async throws {
        let (port, admin) = (try await TestSidecar.freePort(), try await TestSidecar.freePort())
        let sidecar = try await TestSidecar.start(
            services: ["loop": [port], "admin": [admin]],
            [
                "cse.protocols.http.listenAddress": "127.0.0.2:\(port)",
                "cse.protocols.rest-admin.listenAddress": "127.0.0.1:\(admin)",
            ])
        let connection = try await sidecar.connectOutgoing()
        for service in ["loop", "admin"] {
            let answer = try await self.answer(
                connection, "GET http://\(service)/v1/mesher/version HTTP/1.1\r\nHost: a", until: "sidecar itself")
            #expect(answer.hasPrefix("HTTP/1.1 403 ") && answer.contains("x-mesher-error: destination_refused"))
        }
        let named = try await self.answer(
            connection, "GET http://localhost:\(admin)/healthz HTTP/1.1\r\nHost: a", until: "admin API")
        #expect(named.hasPrefix("HTTP/1.1 403 "))
        let errors = try #require(sidecar.sidecar.metrics.families().first { $0.name == "mesher_errors_total" })
        #expect(errors.samples.reduce(0) { $0 + $1.value } == 3)
        await connection.close()
        try await sidecar.stop()
    }

    @Test("a request that comes back is ended where it comes by for the second time")
    func loop() async throws {
        let port = try await TestSidecar.freePort()
        // Another proxy, which the registry takes for an instance and which sends everything to the sidecar.
        let proxy = try await TestOrigin.start { head in
            guard let back = try? await TestConnection.open(try .init(ipAddress: "127.0.0.1", port: port)),
                (try? await back.send(head.replacing("GET /", with: "GET http://cart/"))) != nil
            else { return "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n" }
            let answer = await back.read(until: "before")
            await back.close()
            return answer
        }
        let origin = try await TestOrigin.start { _ in TestOrigin.response("hello") }
        let sidecar = try await TestSidecar.start(
            services: ["cart": [proxy.port]], applicationPort: origin.port,
            ["cse.protocols.http.listenAddress": "127.0.0.2:\(port)"])
        let connection = try await sidecar.connectOutgoing()
        let answer = try await self.answer(connection, "GET http://cart/x HTTP/1.1\r\nHost: cart", until: "before")
        #expect(answer.hasPrefix("HTTP/1.1 508 ") && answer.contains("x-mesher-error: loop\r\n"))
        #expect(proxy.heads.count == 1)
        // The application is told nothing of the way, so that it cannot close a loop by copying what it got.
        let incoming = try await sidecar.connectIncoming()
        _ = try await self.answer(incoming, "GET /x HTTP/1.1\r\nHost: a\r\nx-mesher-hop: abc", until: "hello")
        #expect(origin.heads.first?.lowercased().contains("x-mesher-hop") == false)
        await connection.close()
        await incoming.close()
        try await sidecar.stop()
        await origin.stop()
        await proxy.stop()
    }

    @Test("whoever calls is known to those who ask")
    func source() async throws {
        let log = TestLog()
        let origin = try await TestOrigin.start { _ in TestOrigin.response("hello") }
        let sidecar = try await TestSidecar.start(services: [:], applicationPort: origin.port, logger: log.logger)
        let connection = try await sidecar.connectIncoming()
        for field in ["x-cse-context: {\"x-cse-src-microservice\":\"shop\"}", "x-cse-src-microservice: old", "a: b"] {
            _ = try await self.answer(connection, "GET / HTTP/1.1\r\nHost: a\r\n\(field)", until: "hello")
        }
        let lines = log.lines.filter { $0.contains("incoming request ") }
        #expect(
            lines == [
                "debug incoming request app= known_by=header source=shop version=",
                "debug incoming request app= known_by=header source=old version=",
                "debug incoming request app= known_by=unknown source= version=",
            ])
        await connection.close()
        try await sidecar.stop()
        await origin.stop()
    }
}
