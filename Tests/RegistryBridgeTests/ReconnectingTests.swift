// SPDX-License-Identifier: Apache-2.0

import AsyncHTTPClient
import Common
import LocalRegistry
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOWebSocket
import Serving
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

    static func start(_ way: Way, port: Int = 0) async throws -> Useless {
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
            .bind(host: "127.0.0.1", port: port).get()
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
        // How many fit into a second says the machine.
        #expect(server.early <= 11, "\(server.early)")
        // Nobody would answer there either.
        #expect(pushing.count == 0)
        running.cancel()
        _ = await running.result
        for each in [server, pushing] { await each.stop() }
        try await loops.shutdownGracefully()
    }

    @Test("one that answers, and makes sockets and closes them, sees as few of these")
    func pushes() async throws {
        let loops = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let server = try await ScriptedCenter.start { _ in (200, "{}") }
        let pushing = try await Useless.start(.closingSockets)
        let port = try #require(server.address.split(separator: ":").last.flatMap { Int($0) })
        let running = try Self.run(Self.config(.configCenter, port: port, pushPort: pushing.port), loops)
        #expect(await eventually { pushing.hasLived })
        #expect(pushing.early <= 11, "\(pushing.early)")
        running.cancel()
        _ = await running.result
        await server.stop()
        await pushing.stop()
        try await loops.shutdownGracefully()
    }

    /// A sidecar's registration, discovery and watch, which share a client.
    private static func member(
        _ client: ServiceCenterClient, _ status: RegistryStatus, _ state: RegistrationState,
        _ inbox: Mailbox<RegistryMessage>, _ loops: any EventLoopGroup
    ) throws -> @Sendable () async throws -> Void {
        var registration = Registration(try TestSidecar.config([:]), version: "1")
        registration.interval = .milliseconds(500)
        let registrations = Mailbox<RegistrarMessage>("registrar", capacity: 4, whenFull: .dropOldest)
        let registrar = RegistrarComponent(
            registration, client: client, state: state, health: LocalHealth(), inbox: registrations, registry: inbox,
            readiness: Readiness([]), logger: Self.quiet)
        let cache = DiscoveryCache(directory: "", owner: ["shop"], registry: "r", logger: Self.quiet)
        let registry = ServiceCenterRegistry(
            .init(app: "shop", environment: "", interval: .milliseconds(500), isWatching: true, isIndexing: true),
            client: client, registration: state, registrar: registrations, inbox: inbox, status: status, cache: cache,
            saved: .init(cache), loops: loops, logger: Self.quiet)
        let mesh = TestPublisher()
        return {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await registrar.run() }
                group.addTask { try await registry.follow(mesh.publisher) }
                group.addTask {
                    // Requests for what nobody knows, all the time.
                    for number in 0... {
                        try await Task.sleep(for: .milliseconds(5))
                        inbox.send(.serviceWanted(ServiceDemand(app: "shop", name: "s\(number)")))
                    }
                }
                try await group.next()
            }
        }
    }

    @Test("registration, discovery, watch and waiting requests have one budget, also after a registry that served")
    func sidecar() async throws {
        let loops = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let port = try await TestSidecar.freePort()
        let (started, start) = AsyncStream.makeStream(of: Int.self)
        let component = LocalRegistryComponent(
            address: try ListenAddress("127.0.0.1:\(port)"), version: "1", loops: loops
        ) { start.yield($0) }
        let serving = Task { try await component.run() }
        for await _ in started { break }
        let client = ServiceCenterClient(
            addresses: ["http://127.0.0.1:\(port)"], project: "default", tenant: "default", pace: Self.pace,
            loops: loops, logger: Self.quiet)
        let inbox = Mailbox<RegistryMessage>("registry", capacity: 64, whenFull: .dropNewest)
        let (status, state) = (RegistryStatus(), RegistrationState())
        try await whileRunning(Self.member(client, status, state, inbox, loops)) {
            #expect(await eventually { status.current.isWatching && state.isRegistered })
            serving.cancel()
            _ = await serving.result
            let server = try await Useless.start(.closing, port: port)
            #expect(await eventually { server.hasLived })
            // All three may be calling when it begins.
            #expect(server.early > 4 && server.early <= 3 + 10, "\(server.early)")
            await server.stop()
        }
        await client.close()
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
