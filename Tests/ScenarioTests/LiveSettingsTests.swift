// SPDX-License-Identifier: Apache-2.0

import Common
import Mesher
import NIOCore
import TestSupport
import Testing

/// Promise: every limit and timeout that is declared live holds for the next request once a new configuration does.
@Suite(.timeLimit(.minutes(1))) struct LiveSettingsTests {
    /// A sidecar with one service, whose origin answers once it is asked for a path other than `/never`.
    private struct Mesh {
        let origin: TestOrigin
        let sidecar: TestSidecar

        static func start(_ values: [String: String] = [:], answer: String = TestOrigin.response("hello")) async throws
            -> Mesh
        {
            let origin = try await TestOrigin.start { head in
                if head.contains("/never") { return "" }
                return answer
            }
            let values = ["mesher.workers": "1"].merging(values) { $1 }
            return Mesh(origin: origin, sidecar: try await TestSidecar.start(services: ["cart": [origin.port]], values))
        }

        func stop(_ connections: TestConnection...) async throws {
            for connection in connections { await connection.close() }
            try await self.sidecar.stop()
            await self.origin.stop()
        }
    }

    private func ask(
        _ connection: TestConnection, _ path: String = "/", _ fields: String = "", until text: String = "hello"
    ) async throws -> String {
        connection.forget()
        try await connection.send("GET http://cart\(path) HTTP/1.1\r\nHost: cart\r\n\(fields)\r\n")
        return await connection.read(until: text)
    }

    @Test(
        "limits of a head",
        arguments: [
            ("requestLine", "256", String(repeating: "x", count: 300), "", "HTTP/1.1 414 "),
            ("headerField", "256", "", "A: \(String(repeating: "x", count: 300))\r\n", "HTTP/1.1 431 "),
            ("headerSection", "1KiB", "", "A: \(String(repeating: "x", count: 1100))\r\n", "HTTP/1.1 431 "),
            ("requestHeaders", "8", "", String(repeating: "A: b\r\n", count: 9), "HTTP/1.1 431 "),
        ])
    func head(key: String, value: String, path: String, fields: String, expected: String) async throws {
        let mesh = try await Mesh.start()
        let connection = try await mesh.sidecar.connectOutgoing()
        #expect(try await self.ask(connection, "/\(path)", fields).hasPrefix("HTTP/1.1 200 "))
        try await mesh.sidecar.change(["mesher.limits.\(key)": value])
        // On the connection that has served a request under the old limit.
        let answer = try await self.ask(connection, "/\(path)", fields, until: "too l")
        #expect(answer.hasPrefix(expected))
        try await mesh.stop(connection)
    }

    @Test("limits of a response")
    func response() async throws {
        let fields = String(repeating: "A: b\r\n", count: 9)
        let interim = String(repeating: "HTTP/1.1 103 Early Hints\r\n\r\n", count: 3)
        let mesh = try await Mesh.start(answer: interim + TestOrigin.response("hello", headers: fields))
        let connection = try await mesh.sidecar.connectOutgoing()
        #expect(try await self.ask(connection).contains("HTTP/1.1 200 "))
        try await mesh.sidecar.change(["mesher.limits.interimResponses": "2"])
        #expect(try await self.ask(connection, until: "interim responses").contains("HTTP/1.1 502 "))
        try await mesh.sidecar.change(["mesher.limits.responseHeaders": "8"])
        #expect(try await self.ask(connection, until: "malformed").contains("HTTP/1.1 502 "))
        try await mesh.sidecar.change([:])
        #expect(try await self.ask(connection).contains("HTTP/1.1 200 "))
        try await mesh.stop(connection)
    }

    @Test("the number of connections, lowered and raised")
    func connections() async throws {
        let mesh = try await Mesh.start()
        let first = try await mesh.sidecar.connectOutgoing()
        let second = try await mesh.sidecar.connectOutgoing()
        _ = try await (self.ask(first), self.ask(second))
        try await mesh.sidecar.change(["mesher.limits.connections": "2"])
        // Those that are open stay; the kernel takes a third one, the sidecar does not.
        let third = try await mesh.sidecar.connectOutgoing()
        try await third.send("GET http://cart/third HTTP/1.1\r\nHost: cart\r\n\r\n")
        for _ in 0..<50 { #expect(try await self.ask(first).hasPrefix("HTTP/1.1 200 ")) }
        #expect(mesh.sidecar.sidecar.connections == 2 && !mesh.origin.heads.contains { $0.contains("third") })
        try await mesh.sidecar.change(["mesher.limits.connections": "3"])
        #expect(await third.read(until: "hello").hasPrefix("HTTP/1.1 200 "))
        try await mesh.sidecar.change(["mesher.limits.connections": "1"])
        await first.close()
        await second.close()
        #expect(await eventually { mesh.sidecar.sidecar.connections == 1 })
        let fourth = try await mesh.sidecar.connectOutgoing()
        try await fourth.send("GET http://cart/fourth HTTP/1.1\r\nHost: cart\r\n\r\n")
        for _ in 0..<50 { #expect(try await self.ask(third).hasPrefix("HTTP/1.1 200 ")) }
        #expect(mesh.sidecar.sidecar.connections == 1 && !mesh.origin.heads.contains { $0.contains("fourth") })
        await third.close()
        #expect(await fourth.read(until: "hello").hasPrefix("HTTP/1.1 200 "))
        try await mesh.stop(fourth)
    }

    @Test("a burst does not get past the number of connections")
    func burst() async throws {
        let mesh = try await Mesh.start(["mesher.limits.connections": "3", "mesher.workers": "2"])
        var clients: [TestConnection] = []
        for _ in 0..<40 {
            clients.append(try await mesh.sidecar.connectOutgoing())
            #expect(mesh.sidecar.sidecar.connections <= 3)
        }
        for client in clients {
            #expect(try await self.ask(client).hasPrefix("HTTP/1.1 200 "))
            #expect(mesh.sidecar.sidecar.connections <= 3)
            await client.close()
        }
        try await mesh.stop()
    }

    @Test("idle upstream connections: how many, and for how long")
    func idleUpstream() async throws {
        let mesh = try await Mesh.start()
        let connection = try await mesh.sidecar.connectOutgoing()
        _ = try await self.ask(connection)
        #expect(mesh.origin.connections == 1)
        try await mesh.sidecar.change(["mesher.limits.idleUpstreamConnections": "0"])
        #expect(await eventually { mesh.origin.connections == 0 })
        _ = try await self.ask(connection)
        #expect(await eventually { mesh.origin.connections == 0 })
        try await mesh.sidecar.change([:])
        _ = try await self.ask(connection)
        _ = try await self.ask(connection)
        #expect(mesh.origin.connections == 1)
        // Also for the one that is waiting already.
        try await mesh.sidecar.change(["mesher.timeouts.upstreamIdle": "50ms"])
        #expect(await eventually { mesh.origin.connections == 0 })
        _ = try await self.ask(connection)
        #expect(await eventually { mesh.origin.connections == 0 })
        try await mesh.stop(connection)
    }

    @Test("a client connection between two requests")
    func keepAlive() async throws {
        let mesh = try await Mesh.start()
        let waiting = try await mesh.sidecar.connectOutgoing()
        _ = try await self.ask(waiting)
        try await mesh.sidecar.change(["mesher.timeouts.keepAlive": "500ms"])
        #expect(await waiting.readToEnd().hasSuffix("hello"))
        let later = try await mesh.sidecar.connectOutgoing()
        _ = try await self.ask(later)
        #expect(await later.readToEnd().hasSuffix("hello"))
        try await mesh.stop()
    }

    @Test(
        "timeouts of a request",
        arguments: [
            ("requestHead", "GET http://cart/ HTTP/1.1\r\nHost: ca", "HTTP/1.1 408 "),
            ("requestBody", "POST http://cart/ HTTP/1.1\r\nHost: cart\r\nContent-Length: 9\r\n\r\nx", "HTTP/1.1 408 "),
            ("firstByte", "GET http://cart/never HTTP/1.1\r\nHost: cart\r\n\r\n", "HTTP/1.1 504 "),
        ])
    func timeout(key: String, request: String, expected: String) async throws {
        let mesh = try await Mesh.start(answer: "")
        let connection = try await mesh.sidecar.connectOutgoing()
        #expect(await eventually { mesh.sidecar.sidecar.connections == 1 })
        try await mesh.sidecar.change(["mesher.timeouts.\(key)": "50ms", "mesher.timeouts.linger": "50ms"])
        try await connection.send(request)
        #expect(await connection.read(until: "\r\n\r\n").hasPrefix(expected))
        try await mesh.stop(connection)
    }

    @Test("an answer that stands still, and one whose client has closed its sending side")
    func stream() async throws {
        let mesh = try await Mesh.start(answer: "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello")
        let connection = try await mesh.sidecar.connectOutgoing()
        #expect(await eventually { mesh.sidecar.sidecar.connections == 1 })
        try await mesh.sidecar.change(["mesher.timeouts.stream": "50ms", "mesher.timeouts.halfClosed": "50ms"])
        try await connection.send("GET http://cart/ HTTP/1.1\r\nHost: cart\r\n\r\n")
        #expect(await connection.readToEnd().hasSuffix("\r\n\r\nhello"))
        let half = try await mesh.sidecar.connectOutgoing()
        try await half.send("GET http://cart/never HTTP/1.1\r\nHost: cart\r\n\r\n")
        try await half.endSending()
        #expect(await half.readToEnd().isEmpty)
        try await mesh.stop(connection, half)
    }

    @Test("connecting to an instance")
    func connect() async throws {
        // An instance whose queue is full: the kernel answers nothing.
        let full = try await FullListener.start()
        let sidecar = try await TestSidecar.start(
            services: ["cart": [full.port]], ["mesher.timeouts.connect": "1h", "mesher.workers": "1"])
        let connection = try await sidecar.connectOutgoing()
        #expect(await eventually { sidecar.sidecar.connections == 1 })
        try await sidecar.change(["mesher.timeouts.connect": "50ms"])
        try await connection.send("GET http://cart/ HTTP/1.1\r\nHost: cart\r\n\r\n")
        let answer = await connection.read(until: "failed")
        #expect(answer.hasPrefix("HTTP/1.1 502 ") && answer.hasSuffix("\r\n\r\nconnect to cart failed"))
        await connection.close()
        try await sidecar.stop()
        await full.stop()
    }
}
