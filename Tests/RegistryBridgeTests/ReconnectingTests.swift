// SPDX-License-Identifier: Apache-2.0

import AsyncHTTPClient
import Common
import ControlHTTP
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOWebSocket
import Synchronization
import TestSupport
import Testing

@testable import RegistryBridge

/// A server that takes connections and does no good: it closes them, at once or after a good handshake, or says nothing.
private final class Useless: Sendable {
    enum Way { case closing, closingSockets, silent }

    private let channel: any Channel
    private let connections: Count

    private final class Count: Sendable {
        let times = Mutex<[ContinuousClock.Instant]>([])
    }

    private init(_ channel: any Channel, _ connections: Count) {
        self.channel = channel
        self.connections = connections
    }

    static func start(_ way: Way) async throws -> Useless {
        let connections = Count()
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                connections.times.withLock { $0.append(.now) }
                switch way {
                case .closing: return channel.close()
                case .silent: return channel.eventLoop.makeSucceededVoidFuture()
                case .closingSockets:
                    let upgrader = NIOWebSocketServerUpgrader { channel, _ in
                        channel.eventLoop.makeSucceededFuture(HTTPHeaders())
                    } upgradePipelineHandler: { channel, _ in
                        channel.close()
                    }
                    return channel.pipeline.configureHTTPServerPipeline(
                        withServerUpgrade: (upgraders: [upgrader], completionHandler: { _ in }))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        return Useless(channel, connections)
    }

    var port: Int { self.channel.localAddress?.port ?? 0 }
    /// When it was connected to.
    var times: [ContinuousClock.Instant] { self.connections.times.withLock { $0 } }
    var count: Int { self.times.count }
    /// Whether somebody has connected more than a second after the first.
    var hasLived: Bool { self.early < self.count }
    /// How many have connected within a second of the first, itself included.
    var early: Int { self.times.count { $0 - (self.times.first ?? $0) <= .seconds(1) } }
    func stop() async { try? await self.channel.close().get() }
}

@Suite(.timeLimit(.minutes(1))) struct ReconnectingTests {
    /// A minute is a second.
    private static let pace = Reconnect.Pace.usual.scaled(by: 1.0 / 60)
    private static let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    private static func config(
        _ kind: ConfigServerConfig.Kind, port: Int, pushPort: Int
    ) throws -> ConfigServerConfig {
        var source = ConfigSource(.memory)
        let values = [
            "serverUri": "http://127.0.0.1:\(port)", "type": kind == .kie ? "kie" : "config_center", "refreshMode": "0",
            "refreshInterval": "300", "refreshPort": "\(pushPort)",
        ]
        for (key, value) in values { source.add("cse.config.client.\(key)", .text(value, ConfigLocation("test"))) }
        var reader = ConfigReader(ConfigStore([source]))
        return try #require(ConfigServerConfig(&reader))
    }

    private static func run(_ config: ConfigServerConfig, _ loops: any EventLoopGroup) throws -> Task<Void, any Error> {
        let component = ConfigServerComponent(
            config, scope: ConfigServerScope(try TestSidecar.config([:]).identity), login: nil, tls: nil,
            inbox: Mailbox("config", capacity: 2, whenFull: .dropNewest), status: ConfigServerStatus(), pace: Self.pace,
            loops: loops, logger: Self.quiet)
        return Task { try await component.run() }
    }

    @Test(
        "a configuration server that takes connections and closes them sees ten a minute after the first at most",
        arguments: [ConfigServerConfig.Kind.kie, .configCenter])
    func configServer(kind: ConfigServerConfig.Kind) async throws {
        let loops = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let (server, pushing) = (try await Useless.start(.closing), try await Useless.start(.closingSockets))
        let running = try Self.run(Self.config(kind, port: server.port, pushPort: pushing.port), loops)
        #expect(await eventually { server.hasLived })
        #expect(server.early > 4 && server.early <= 11, "\(server.early)")
        // The socket is made, and closed: that is no life either.
        if kind == .configCenter {
            #expect(await eventually { pushing.hasLived })
            #expect(pushing.early > 4 && pushing.early <= 11, "\(pushing.early)")
        } else {
            #expect(pushing.count == 0)
        }
        running.cancel()
        _ = await running.result
        for each in [server, pushing] { await each.stop() }
        try await loops.shutdownGracefully()
    }

    @Test("a service-center that takes connections and closes them, too, however many call it")
    func serviceCenter() async throws {
        let loops = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let server = try await Useless.start(.closing)
        let client = ServiceCenterClient(
            addresses: ["http://127.0.0.1:\(server.port)"], project: "default", tenant: "default", pace: Self.pace,
            loops: loops, logger: Self.quiet)
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<3 {
                group.addTask {
                    let isOver = await eventually {
                        await #expect(throws: ServiceCenterClient.Failure.self) { try await client.ping() }
                        return server.hasLived
                    }
                    #expect(isOver)
                }
            }
        }
        #expect(server.early > 4 && server.early <= 3 + 10, "\(server.early)")
        await client.close()
        await server.stop()
        try await loops.shutdownGracefully()
    }

    @Test("a socket that is being made is given up at once")
    func cancelled() async throws {
        let loops = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let server = try await Useless.start(.silent)
        let port = server.port
        let connecting = Task {
            let place = ServerPlace(url: "http://127.0.0.1:\(port)", name: nil, address: nil)
            let target = PushSocket.Target(place, path: "/", headers: [:], tls: nil)
            _ = try await PushSocket.connect(#require(target), silence: .seconds(60), frameLimit: 1_024, loops: loops)
        }
        #expect(await eventually { server.count == 1 })
        let began = ContinuousClock.now
        connecting.cancel()
        await #expect(throws: CancellationError.self) { try await connecting.value }
        #expect(ContinuousClock.now - began < .seconds(2))
        await server.stop()
        try await loops.shutdownGracefully()
    }
}

/// Answers a request with a head and the first bytes of a body, and no more.
private final class Stalling: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let head = ByteBuffer(string: "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc")
        context.writeAndFlush(Self.wrapOutboundOut(head), promise: nil)
    }
}

@Suite(.timeLimit(.minutes(1))) struct WholeAnswerTests {
    @Test("a body that stops coming is waited for so long and no longer, however long the head may take")
    func silence() async throws {
        let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Stalling())
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let client = HTTPClient(eventLoopGroupProvider: .singleton)
        let request = HTTPClientRequest(url: "http://127.0.0.1:\(server.localAddress?.port ?? 0)/")
        let began = ContinuousClock.now
        await #expect(throws: HTTPClientError.readTimeout) {
            try await client.whole(request, limit: 100, timeout: .seconds(50), silence: .milliseconds(50))
        }
        #expect(ContinuousClock.now - began < .seconds(10))
        try await client.shutdown()
        try await server.close().get()
    }
}

@Suite struct SettingsDoubtTests {
    private func settings(_ count: Int) -> [String: String] {
        Dictionary(uniqueKeysWithValues: (0..<count).map { ("key\($0)", "value") })
    }

    @Test("most settings at once go when that was answered twice")
    func most() {
        var doubt = SettingsDoubt()
        #expect(doubt.believes(self.settings(10), after: nil, isCertain: true) == true)
        #expect(doubt.believes(self.settings(4), after: self.settings(10), isCertain: true) == false)
        // Another answer is another doubt.
        #expect(doubt.believes([:], after: self.settings(10), isCertain: true) == false)
        #expect(doubt.believes([:], after: self.settings(10), isCertain: true) == true)
    }

    @Test("half of them, or a few, go at once", arguments: [(10, 5), (5, 0), (1, 0)])
    func few(before: Int, after: Int) {
        var doubt = SettingsDoubt()
        #expect(doubt.believes(self.settings(after), after: self.settings(before), isCertain: true) == true)
    }

    @Test("an answer that lists nothing takes nothing away at once")
    func uncertain() {
        var doubt = SettingsDoubt()
        #expect(doubt.believes([:], after: [:], isCertain: false) && doubt.believes([:], after: nil, isCertain: false))
        #expect(doubt.believes([:], after: self.settings(1), isCertain: false) == false)
        // The settings are there again, and the doubt is forgotten.
        #expect(doubt.believes(self.settings(1), after: self.settings(1), isCertain: true) == true)
        #expect(doubt.believes([:], after: self.settings(1), isCertain: false) == false)
        #expect(doubt.believes([:], after: self.settings(1), isCertain: false) == true)
    }
}
