// SPDX-License-Identifier: Apache-2.0

import Common
import Mesher
import NIOCore
import TestSupport
import Testing

/// Promise: what a caller says about its own client reaches the application only from callers that are trusted.
@Suite(.timeLimit(.minutes(1))) struct TrustTests {
    private static let claims = """
        X-Forwarded-For: 6.6.6.6\r
        X-Forwarded-Proto: https\r
        X-Forwarded-Host: evil.example\r
        Forwarded: for=6.6.6.6\r
        X-Real-IP: 6.6.6.6\r
        X-Mark: vip\r
        x-cse-src-microservice: shop\r
        \r

        """

    /// The fields that the application got, names in lower case, without the `Host`.
    private func fields(_ head: String) -> [String] {
        head.split(separator: "\r\n").dropFirst().map { line in
            let colon = line.firstIndex(of: ":") ?? line.endIndex
            return line[..<colon].lowercased() + line[colon...]
        }.filter { !$0.hasPrefix("host:") && !$0.hasPrefix("x-mesher-hop:") && !$0.hasPrefix("x-cse-context:") }
            .sorted()
    }

    private let overwritten = ["x-cse-src-microservice: shop", "x-forwarded-host: web:1", "x-forwarded-proto: http"]
    private let kept = [
        "forwarded: for=6.6.6.6", "x-cse-src-microservice: shop", "x-forwarded-for: 6.6.6.6",
        "x-forwarded-host: evil.example", "x-forwarded-proto: https", "x-mark: vip", "x-real-ip: 6.6.6.6",
    ]

    @Test("incoming: overwritten, until the configuration trusts the caller, also on a connection that is open")
    func incoming() async throws {
        let origin = try await TestOrigin.start { _ in TestOrigin.response("hello") }
        let sidecar = try await TestSidecar.start(
            services: [:], applicationPort: origin.port, ["mesher.trustedHops": "10.0.0.0/8"])
        let connection = try await sidecar.connectIncoming()
        func ask(_ fields: String) async throws {
            connection.forget()
            try await connection.send("GET / HTTP/1.1\r\nHost: web:1\r\n\(fields)")
            _ = await connection.read(until: "hello")
        }
        try await ask(Self.claims)
        try await ask("\r\n")
        try await sidecar.change(["mesher.trustedHops": "10.0.0.0/8,127.0.0.1"])
        try await ask(Self.claims)
        try await ask("\r\n")
        try await sidecar.change(["mesher.trustedHops": "127.0.0.0/30"])
        try await ask(Self.claims)
        try await sidecar.change(["mesher.trustedHops": "127.0.0.2/31"])
        try await ask(Self.claims)
        let seen = origin.heads.map(self.fields)
        #expect(seen.count == 6)
        let added = ["x-forwarded-host: web:1"]
        #expect(seen == [self.overwritten, added, self.kept, added, self.kept, self.overwritten])
        await connection.close()
        try await sidecar.stop()
        await origin.stop()
    }

    @Test("outgoing: what the application passes along is its own business")
    func outgoing() async throws {
        let origin = try await TestOrigin.start { _ in TestOrigin.response("hello") }
        let sidecar = try await TestSidecar.start(services: ["cart": [origin.port]])
        let connection = try await sidecar.connectOutgoing()
        try await connection.send("GET http://cart/ HTTP/1.1\r\nHost: cart\r\n\(Self.claims)")
        _ = await connection.read(until: "hello")
        #expect(origin.heads.map(self.fields) == [self.kept])
        await connection.close()
        try await sidecar.stop()
        await origin.stop()
    }

    @Test("per-host: a caller from another host is judged, one of this machine is not")
    func perHost() async throws {
        let other = try #require(MachineAddress.all().first { $0.v4 != nil && !$0.isLoopback })
        let v4 = try #require(other.v4)
        let host = [24, 16, 8, 0].map { String(v4 >> UInt32($0) & 255) }.joined(separator: ".")
        let origin = try await TestOrigin.start { _ in TestOrigin.response("hello") }
        let sidecar = try await TestSidecar.start(
            services: ["cart": [origin.port]],
            ["mesher.mode": "per-host", "cse.protocols.http.listenAddress": "0.0.0.0:0"])
        let port = try #require(sidecar.sidecar.outgoing.port)
        for address in [host, "127.0.0.1"] {
            let connection = try await TestConnection.open(try .init(ipAddress: address, port: port))
            try await connection.send("GET http://cart/ HTTP/1.1\r\nHost: cart\r\n\(Self.claims)")
            _ = await connection.read(until: "hello")
            await connection.close()
        }
        let removed = ["x-cse-src-microservice: shop", "x-forwarded-proto: http"]
        #expect(origin.heads.map(self.fields) == [removed, self.kept])
        try await sidecar.stop()
        await origin.stop()
    }
}
