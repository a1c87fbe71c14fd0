// SPDX-License-Identifier: Apache-2.0

import Common
import Logging
import NIOCore
import NIOPosix
import NIOSSL
import TLS
import TestSupport

@testable import Proxy

#if canImport(Glibc)
    import Glibc
#endif

/// One listener with everything that it needs, without a program around it.
struct TestListener {
    /// A request that is answered 200 without an upstream.
    static let request = "OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n"
    /// The same, and the last one on its connection.
    static let lastRequest = "OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\nConnection: close\r\n\r\n"

    let workers: WorkerGroup
    let budget: ConnectionBudget
    let listener: Listener
    let metrics: MetricsRegistry
    let log: TestLog

    /// Opens a listener on a free port.
    ///
    /// - Parameter count: Of event loops; the first of them is the listener's own as well.
    /// - Parameter limit: Of connections.
    /// - Parameter descriptor: A listening socket to take over, instead of a free port.
    /// - Parameter values: Configuration.
    static func open(
        workers count: Int = 2, limit: Int = 100, tls: TLSMaterial? = nil, adopting descriptor: CInt? = nil,
        _ values: [String: String] = [:]
    ) async throws -> TestListener {
        let loops = MultiThreadedEventLoopGroup(numberOfThreads: count)
        let metrics = MetricsRegistry(startTime: 0, own: MetricLabels())
        let log = TestLog()
        let workers = try await WorkerGroup(
            on: loops, mesh: Snapshot(Mesh(ServiceDirectory([], isSynced: true), .plain), on: loops), metrics: metrics,
            logger: log.logger)
        let plan = TrafficPlan(
            direction: .outgoing, chain: StageChain([]), settings: try TestSidecar.config(values).proxy)
        let budget = ConnectionBudget(limit: limit)
        let spec = ListenerSpec(
            try SocketAddress(ipAddress: "127.0.0.1", port: 0), plans: Snapshot(plan, on: loops), budget: budget,
            tls: tls)
        let setup = Listener.Setup(workers: workers, metrics: metrics, logger: log.logger)
        let listener =
            if let descriptor {
                try await Listener.adopt(descriptor: descriptor, as: spec, setup)
            } else {
                try await Listener.open(spec, setup)
            }
        return TestListener(workers: workers, budget: budget, listener: listener, metrics: metrics, log: log)
    }

    /// Ends it, whatever its clients do.
    func close() async throws {
        await self.listener.stopAccepting()
        self.workers.forEach {
            $0.deadlines.stop()
            $0.waits.stop()
            $0.stopReporting()
        }
        try await self.workers.loops.shutdownGracefully()
    }

    /// A new client.
    func connect(tls protocols: [String]? = nil) async throws -> TestClient {
        try await .open(self.listener.address, tls: protocols)
    }

    /// Whether exactly so many connections have a place, and still have once the event loops have done what they had to.
    func holds(_ count: Int) async throws -> Bool {
        guard await eventually({ self.budget.current == count }) else { return false }
        for _ in 0..<3 { _ = try await self.workers.gather { _ in } }
        return self.budget.current == count
    }

    /// What a series counts; 0 while there is none.
    func count(_ name: String, _ labels: [String: String] = [:]) -> Int {
        let wanted = MetricLabels(labels).text
        let family = self.metrics.families().first { $0.name == "\(name)_total" }
        let value = family?.samples.first { $0.labels.text == wanted }?.value ?? 0
        return Int(value)
    }
}

/// A client of one connection that may speak TLS.
struct TestClient {
    /// Completes a promise with the first bytes.
    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        private let answered: EventLoopPromise<Void>
        init(_ answered: EventLoopPromise<Void>) { self.answered = answered }
        func channelRead(context: ChannelHandlerContext, data: NIOAny) { self.answered.succeed() }
        func channelInactive(context: ChannelHandlerContext) { self.answered.fail(ChannelError.eof) }
        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }

    private let channel: any Channel
    private let answered: EventLoopFuture<Void>

    /// - Parameter protocols: Those offered within TLS; `nil` for no TLS.
    static func open(_ address: SocketAddress, tls protocols: [String]?) async throws -> TestClient {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let answered = loop.makePromise(of: Void.self)
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.certificateVerification = .none
        configuration.applicationProtocols = protocols ?? []
        let context = try protocols.map { _ in try NIOSSLContext(configuration: configuration) }
        let channel = try await ClientBootstrap(group: loop)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    if let context {
                        try channel.pipeline.syncOperations.addHandler(
                            NIOSSLClientHandler(context: context, serverHostname: nil))
                    }
                    try channel.pipeline.syncOperations.addHandler(Handler(answered))
                }
            }
            .connect(to: address).get()
        return TestClient(channel: channel, answered: answered.futureResult)
    }

    func send(_ text: String) async throws { try await self.channel.writeAndFlush(ByteBuffer(string: text)).get() }

    /// Returns with the first bytes; throws when the connection ends without any.
    func answer() async throws { try await self.answered.get() }

    func close() async { try? await self.channel.close().get() }

    /// Closes with RST.
    func reset() async throws {
        try await (self.channel as? any SocketOptionProvider)?.setSoLinger(linger(l_onoff: 1, l_linger: 0)).get()
        await self.close()
    }

    /// Returns when the connection is closed, by whomever.
    func closed() async { try? await self.channel.closeFuture.get() }
}

extension TestListener {
    /// TLS of a listener whose clients prove nothing.
    static var material: TLSMaterial {
        get throws(ConfigProblem) {
            try TLSMaterial(
                TLSTag("mesher.Provider", .provider, verifiesPeer: false),
                TLSSecret(chain: TestCertificate.chain, key: TestCertificate.key))
        }
    }
}
