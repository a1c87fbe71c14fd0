// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import TestSupport
import Testing

@testable import Proxy

/// Patience that ends soon, for clients that wait for that end.
private let short = ["mesher.timeouts.keepAlive": "200ms", "mesher.timeouts.requestHead": "200ms"]

/// However a connection ends, its place in the budget is given back, and only once.
@Suite(.serialized, .timeLimit(.minutes(1))) struct ConnectionEndTests {
    /// What a client does until its connection is closed.
    enum End: CaseIterable {
        /// Nothing is sent.
        case silent, reset
        case halfHead, halfHeadReset
        /// A request is answered first.
        case idle, idleReset, lastRequest, badRequest
        /// Nothing is sent until the server loses patience.
        case tooSlow
        case http2, http2Reset, http2Error, http2TooSlow

        /// The configuration that it needs.
        var values: [String: String] { self == .tooSlow || self == .http2TooSlow ? short : [:] }
    }

    private static let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    /// An empty SETTINGS frame.
    private static let settings = "\u{0}\u{0}\u{0}\u{4}\u{0}\u{0}\u{0}\u{0}\u{0}"
    /// DATA on stream 0.
    private static let mistake = "\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}"

    private func play(_ end: End, _ client: TestClient) async throws {
        switch end {
        case .silent: await client.close()
        case .reset: try await client.reset()
        case .halfHead:
            try await client.send("GET / HT")
            await client.close()
        case .halfHeadReset:
            try await client.send("GET / HT")
            try await client.reset()
        case .idle, .idleReset:
            try await client.send(TestListener.request)
            try await client.answer()
            if end == .idle { await client.close() } else { try await client.reset() }
        case .lastRequest:
            try await client.send(TestListener.lastRequest)
            await client.closed()
        case .badRequest:
            try await client.send("nonsense\r\n\r\n")
            await client.closed()
        case .tooSlow: await client.closed()
        case .http2, .http2Reset:
            try await client.send(Self.preface + Self.settings)
            try await client.answer()
            if end == .http2 { await client.close() } else { try await client.reset() }
        case .http2Error:
            try await client.send(Self.preface + Self.settings + Self.mistake)
            await client.closed()
        case .http2TooSlow:
            try await client.send("PRI * HTTP/2.0\r\n")
            await client.closed()
        }
    }

    @Test("in plain text", arguments: End.allCases) func plain(end: End) async throws {
        // One loop is the listener's own, the other one is not.
        let listener = try await TestListener.open(workers: 2, end.values)
        for _ in 0..<4 { try await self.play(end, try await listener.connect()) }
        #expect(await eventually { listener.count("mesher_client_connections") == 4 })
        #expect(try await listener.holds(0))
        try await listener.close()
    }

    @Test("within TLS", arguments: End.allCases) func secure(end: End) async throws {
        let listener = try await TestListener.open(workers: 2, tls: try TestListener.material, end.values)
        for _ in 0..<4 {
            let name = [.http2, .http2Reset, .http2Error, .http2TooSlow].contains(end) ? "h2" : "http/1.1"
            let client = try await listener.connect(tls: [name])
            try await self.play(end, client)
        }
        #expect(try await listener.holds(0))
        try await listener.close()
    }

    /// What becomes of a handshake that comes to nothing, and what it counts as.
    enum Handshake: String, CaseIterable {
        case silent = "closed"
        case plainText = "plain_text"
        case tooSlow = "timeout"
    }

    @Test("before TLS has begun", arguments: Handshake.allCases) func handshake(end: Handshake) async throws {
        let listener = try await TestListener.open(
            workers: 2, tls: try TestListener.material, end == .tooSlow ? short : [:])
        for _ in 0..<4 {
            let client = try await listener.connect()
            switch end {
            case .silent: await client.close()
            case .plainText: try await client.send(TestListener.request)
            case .tooSlow: break
            }
            await client.closed()
        }
        let failures = { listener.count("mesher_tls_handshake_failures", ["reason": end.rawValue, "side": "server"]) }
        #expect(await eventually { failures() == 4 })
        #expect(try await listener.holds(0))
        try await listener.close()
    }

    @Test("a bare probe of the port counts as closed, also when it ends with RST") func probeWithReset() async throws {
        let listener = try await TestListener.open(workers: 1, tls: try TestListener.material)
        let client = try await listener.connect()
        #expect(try await listener.holds(1))
        try await client.reset()
        let failures = { listener.count("mesher_tls_handshake_failures", ["reason": "closed", "side": "server"]) }
        #expect(await eventually { failures() == 1 })
        #expect(try await listener.holds(0))
        try await listener.close()
    }

    @Test("failed handshakes do not fill the log") func lines() async throws {
        let listener = try await TestListener.open(workers: 1, tls: try TestListener.material)
        for _ in 0..<30 { await (try await listener.connect()).close() }
        let failures = { listener.count("mesher_tls_handshake_failures", ["reason": "closed", "side": "server"]) }
        #expect(await eventually { failures() == 30 })
        let lines = { listener.log.lines.filter { $0.contains("TLS handshake failed") } }
        #expect(lines().count < 30)
        try await listener.close()
    }

    @Test("a listener with connections in every place serves the next when one is free") func full() async throws {
        let listener = try await TestListener.open(workers: 2, limit: 3)
        var clients: [TestClient] = []
        for _ in 0..<3 { clients.append(try await listener.connect()) }
        #expect(try await listener.holds(3))
        let waiting = try await listener.connect()
        try await waiting.send(TestListener.request)
        #expect(await eventually { listener.count("mesher_accept_pauses") > 0 })
        #expect(try await listener.holds(3))
        await clients[0].close()
        try await waiting.answer()
        await waiting.close()
        for client in clients { await client.close() }
        #expect(try await listener.holds(0))
        try await listener.close()
    }
}

@Suite struct LineLimitTests {
    @Test("admits some lines in each period, and tells how many it has left out") func admit() {
        var limit = LineLimit(most: 2, in: .seconds(1))
        let begin = NIODeadline.uptimeNanoseconds(5_000_000_000)
        let answers = [0, 10, 20, 999, 1000, 1001, 1002, 2500].map { limit.admit(at: begin + .milliseconds($0)) }
        #expect(answers == [0, 0, nil, nil, 2, 0, nil, 1])
    }
}

@Suite struct ALPNTests {
    @Test(
        "tells what was chosen",
        arguments: [("h2", .http2), ("http/1.1", .http1), (nil, .none), ("", .none)]
            as [(String?, NegotiatedProtocol)])
    func name(name: String?, expected: NegotiatedProtocol) { #expect(NegotiatedProtocol(name) == expected) }
}
