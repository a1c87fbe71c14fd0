// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import NIOPosix
import Synchronization
import TestSupport
import Testing

@testable import Serving

/// A server with few places and little patience.
@Suite(.timeLimit(.minutes(1))) struct LimitedServerTests {
    /// Answers `/held` when it is let go, `/much` with more than buffers take, and all else at once.
    private final class Server: Sendable {
        private let orderly = OrderlyServer()
        private let port = Mutex<Int?>(nil)
        private let held = Atomic<Int>(0)
        private let cut = Atomic<Int>(0)
        private let gate = Gate()
        private let task = Mutex<Task<Void, any Error>?>(nil)

        /// Where it listens.
        var number: Int { self.port.withLock { $0 } ?? 0 }
        /// Calls of `/held` that wait.
        var heldCalls: Int { self.held.load(ordering: .relaxed) }
        /// Answers that could not be written to their end.
        var cutAnswers: Int { self.cut.load(ordering: .relaxed) }

        static func start(_ change: (inout ServerLimits) -> Void = { _ in }) async -> Server {
            let server = Server()
            var limits = ServerLimits(places: 4, reserved: 1, probes: ["/healthz"])
            change(&limits)
            let granted = limits
            server.task.withLock { task in
                task = Task {
                    try await server.orderly.run { quiet in
                        let application = Application(
                            responder: CallbackResponder { (request, _: BasicRequestContext) in
                                try await server.answer(request)
                            },
                            server: .limited(granted),
                            configuration: .init(address: .hostname("127.0.0.1", port: 0)),
                            onServerRunning: { channel in server.port.withLock { $0 = channel.localAddress?.port } },
                            eventLoopGroupProvider: .shared(MultiThreadedEventLoopGroup.singleton), logger: quiet)
                        try await application.run()
                    }
                }
            }
            _ = await eventually { server.port.withLock { $0 } != nil }
            return server
        }

        private func answer(_ request: Request) async throws -> Response {
            switch request.uri.path {
            case "/held":
                self.held.wrappingAdd(1, ordering: .relaxed)
                defer { self.held.wrappingSubtract(1, ordering: .relaxed) }
                await self.gate.pass()
            case "/much":
                return Response(
                    status: .ok,
                    body: ResponseBody { writer in
                        do {
                            for _ in 0..<1000 { try await writer.write(ByteBuffer(repeating: 0x78, count: 1 << 16)) }
                            try await writer.finish(nil)
                        } catch {
                            self.cut.wrappingAdd(1, ordering: .relaxed)
                            throw error
                        }
                    })
            default: break
            }
            return Response(status: .ok, headers: [.contentLength: "3"], body: .init(byteBuffer: .init(string: "ok\n")))
        }

        func connect() async throws -> TestConnection {
            try await TestConnection.open(
                SocketAddress(ipAddress: "127.0.0.1", port: self.number))
        }

        func hold(_ count: Int) async throws -> [TestConnection] {
            var connections: [TestConnection] = []
            for _ in 0..<count {
                let connection = try await self.connect()
                try await connection.send("GET /held HTTP/1.1\r\nHost: x\r\n\r\n")
                connections.append(connection)
            }
            #expect(await eventually { self.heldCalls == count })
            return connections
        }

        func stop() async {
            self.gate.open()
            self.task.withLock { $0 }?.cancel()
            await self.orderly.drain()
        }
    }

    private static let probe = "GET /healthz?x HTTP/1.1\r\nHost: x\r\n\r\n"

    @Test("a new connection pushes out the one that has been idle longest")
    func idle() async throws {
        let server = await Server.start()
        let silent = try await server.connect()
        try await silent.send("GET /x HTT")
        var others: [TestConnection] = []
        for _ in 0..<2 { others.append(try await server.connect()) }
        for other in others { try await other.send(Self.probe) }
        for other in others { #expect(await other.read(until: "ok\n").hasPrefix("HTTP/1.1 200 OK")) }
        let late = try await server.connect()
        #expect(await silent.readToEnd() == "")
        try await late.send("GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
        #expect(await late.read(until: "ok\n").hasPrefix("HTTP/1.1 200 OK"))
        await server.stop()
    }

    @Test("while all are busy a probe is answered, one for a connection, and everything else 503")
    func reserve() async throws {
        let server = await Server.start()
        let busy = try await server.hold(3)
        for _ in 0..<2 {
            let probe = try await server.connect()
            try await probe.send(Self.probe)
            let answer = await probe.readToEnd()
            #expect(answer.hasPrefix("HTTP/1.1 200 OK") && answer.contains("onnection: close"))
            let other = try await server.connect()
            try await other.send("GET /v1 HTTP/1.1\r\nHost: x\r\n\r\n" + Self.probe)
            let refusal = await other.readToEnd()
            #expect(refusal.hasPrefix("HTTP/1.1 503 ") && refusal.contains("3 connections are busy"))
            #expect(!refusal.contains("200 OK"))
        }
        // Who sends nothing there goes as soon as another one comes.
        let silent = try await server.connect()
        let probe = try await server.connect()
        #expect(await silent.readToEnd() == "")
        try await probe.send(Self.probe)
        #expect(await probe.readToEnd().hasPrefix("HTTP/1.1 200 OK"))
        await server.stop()
        for connection in busy { await connection.close() }
    }

    @Test(
        "who takes too long for a request is closed",
        arguments: ["", "GET / HTTP/1.1\r\nHost:", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx"])
    func slowRequest(start: String) async throws {
        let server = await Server.start { $0.request = .milliseconds(500) }
        let client = try await server.connect()
        try await client.send(start)
        let answer = await client.readToEnd()
        #expect(answer.isEmpty == !start.hasPrefix("POST"))
        await server.stop()
    }

    @Test("who does not read its answer is closed")
    func stuckAnswer() async throws {
        let server = await Server.start { $0.answer = .milliseconds(500) }
        let client = try await TestConnection.open(
            SocketAddress(ipAddress: "127.0.0.1", port: server.number), isReading: false)
        try await client.send("GET /much HTTP/1.1\r\nHost: x\r\n\r\n")
        #expect(await eventually { server.cutAnswers == 1 })
        await client.close()
        await server.stop()
    }

    @Test("a graceful stop does not wait for what goes on for ever")
    func drain() async throws {
        let server = await Server.start()
        let busy = try await server.hold(1)
        let began = ContinuousClock.now
        await server.stop()
        #expect(ContinuousClock.now - began < .seconds(3))
        for connection in busy { await connection.close() }
    }
}
