// SPDX-License-Identifier: Apache-2.0

package import Common
package import Logging
package import NIOCore
import NIOPosix
import NIOSSL
import TLS

#if canImport(Glibc)
    import Glibc
#endif

/// A listening socket and the plan that its connections obey.
///
/// It belongs to the runtime and outlives the component whose plans it reads: while Ingress or Egress restarts, its
/// connections go on with the plan that was published last.
package final class Listener: Sendable {
    /// What all listeners of a process share.
    package struct Setup: Sendable {
        /// Who serves the connections.
        package let workers: WorkerGroup
        /// Where pauses are counted.
        package let metrics: MetricsRegistry
        /// For what goes wrong.
        package let logger: Logger

        /// A set-up.
        package init(workers: WorkerGroup, metrics: MetricsRegistry, logger: Logger) {
            self.workers = workers
            self.metrics = metrics
            self.logger = logger
        }
    }

    /// What it was opened for.
    package let spec: ListenerSpec
    /// Where it listens; with the port that the kernel chose, if 0 was asked for.
    package let address: SocketAddress
    private let channel: any Channel

    private init(_ channel: any Channel, _ spec: ListenerSpec) {
        self.channel = channel
        self.spec = spec
        self.address = channel.localAddress ?? spec.address
    }

    /// Opens a listener.
    ///
    /// New connections go to the loops in turn.
    ///
    /// - Throws: `MesherError.cannotListen`.
    package static func open(_ spec: ListenerSpec, _ setup: Setup) async throws -> Listener {
        do {
            let channel = try await Self.bootstrap(spec, setup).bind(to: spec.address).get()
            return Listener(channel, spec)
        } catch {
            throw MesherError.cannotListen(
                address: "\(spec.address.ipAddress ?? "?"):\(spec.address.port ?? 0)", cause: Self.text(error),
                remedy: "free the port, or change listenAddress in chassis.yaml")
        }
    }

    /// Takes over a socket that listens already: clients that wait in its queue are served, and none is refused.
    ///
    /// - Parameter descriptor: The socket. It belongs to the listener from then on, which closes it; the caller keeps it
    ///   when this throws.
    /// - Parameter spec: What it serves; its address is the socket's own.
    /// - Throws: `MesherError.cannotListen` for what is no listening socket of a stream.
    package static func adopt(descriptor: CInt, as spec: ListenerSpec, _ setup: Setup) async throws -> Listener {
        do {
            // The library closes what it cannot use, and asserts that it is a socket.
            try Self.checkListening(descriptor)
            let channel = try await Self.bootstrap(spec, setup).withBoundSocket(descriptor).get()
            // The library has listened once more, with a queue of its own length.
            _ = listen(descriptor, Self.backlog)
            return Listener(channel, spec)
        } catch {
            throw MesherError.cannotListen(
                address: "descriptor \(descriptor)", cause: Self.text(error),
                remedy: "hand over a TCP socket that listens")
        }
    }

    private static func checkListening(_ descriptor: CInt) throws {
        for option in [SO_ACCEPTCONN, SO_TYPE] {
            var value: CInt = 0
            var length = socklen_t(MemoryLayout<CInt>.size)
            guard unsafe getsockopt(descriptor, SOL_SOCKET, option, &value, &length) == 0 else {
                throw IOError(errnoCode: errno, reason: "getsockopt")
            }
            let isFit = option == SO_TYPE ? value == CInt(SOCK_STREAM.rawValue) : value != 0
            guard isFit else { throw IOError(errnoCode: EINVAL, reason: "getsockopt") }
        }
    }

    private static var backlog: CInt { 4_096 }

    private static func bootstrap(_ spec: ListenerSpec, _ setup: Setup) -> ServerBootstrap {
        let rules = AcceptGate.Rules(
            spec.budget, overload: setup.workers.overload, metrics: setup.metrics, logger: setup.logger)
        return ServerBootstrap(group: setup.workers.loops)
            .serverChannelOption(.backlog, value: Self.backlog)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelOption(.autoRead, value: false)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        AcceptGate(rules) { try Self.setUp($0, $1, spec, setup) })
                }
            }
    }

    /// The high mark that an accepted channel begins with; the low one is half of it.
    static var usualMark: Int { 64 << 10 }

    /// Makes a connection of an accepted channel; see ``AcceptGate/SetUp``.
    private static func setUp(
        _ channel: any Channel, _ budget: ConnectionBudget, _ spec: ListenerSpec, _ setup: Setup
    ) throws {
        let plans = spec.plans.reader(for: channel.eventLoop)
        let worker = setup.workers.worker(of: channel.eventLoop)
        let options = channel.syncOptions
        try options?.setOption(.allowRemoteHalfClosure, value: true)
        // Setting an option costs a hundredth of a connection that serves one request.
        let mark = plans.value.settings.writeBufferWaterMark
        if mark.high != Self.usualMark { try options?.setOption(.writeBufferWaterMark, value: mark) }
        let (isGRPC, logger) = (spec.isGRPC, setup.logger)
        let plain = { (channel: any Channel) in
            try channel.pipeline.syncOperations.addHandler(
                HTTP1ServerConnection(worker: worker, plans: plans, isGRPC: isGRPC, budget: budget))
        }
        guard let tls = spec.tls else { return try plain(channel) }
        let secure = { (channel: any Channel) in
            try Self.addTLS(
                tls, to: channel, worker: worker, plans: plans, budget: budget, isGRPC: isGRPC, logger: logger)
        }
        guard spec.allowsPlain else { return try secure(channel) }
        try channel.pipeline.syncOperations.addHandler(
            PlainOrTLS(
                worker: worker, limit: plans.value.settings.keepAlive, budget: budget, secure: secure, plain: plain))
    }

    /// Puts TLS in front: the handler of requests is added when it is known who the client is.
    private static func addTLS(
        _ tls: TLSMaterial, to channel: any Channel, worker: Worker, plans: Snapshot<TrafficPlan>.Reader,
        budget: ConnectionBudget, isGRPC: Bool, logger: Logger
    ) throws {
        try channel.syncOptions?.setOption(.maxMessagesPerRead, value: ProxySettings.readsPerEvent)
        guard let material = tls.context(.either) else {
            _ = worker.tlsMetrics.failed(tls.tag.side, "no_own_certificate", at: .now())
            throw ChannelError.operationUnsupported
        }
        let handshake = TLSHandshake(
            tls, service: nil, metrics: worker.tlsMetrics, logger: logger,
            limit: plans.value.settings.requestHead, budget: budget
        ) { result in
            guard case .completed(let negotiated, let context) = result else { return }
            let handler = HTTP1ServerConnection(
                worker: worker, plans: plans, isGRPC: isGRPC, negotiated: negotiated,
                caller: tls.tag.isOfMesh ? Self.caller(context, worker) : nil, budget: budget)
            do {
                try context.pipeline.syncOperations.addHandler(handler)
            } catch {
                budget.leave()
                context.close(promise: nil)
            }
        }
        let pipeline = channel.pipeline.syncOperations
        try pipeline.addHandler(NIOSSLServerHandler(context: material))
        try pipeline.addHandler(handshake)
    }

    /// The workload that a certificate of the mesh names.
    private static func caller(_ context: ChannelHandlerContext, _ worker: Worker) -> RequestSource? {
        guard let certificate = try? context.pipeline.syncOperations.nioSSL_peerCertificate() else { return nil }
        let uri = certificate._subjectAlternativeNames().first { $0.nameType == .uri }
        guard let name = uri.flatMap({ String(validating: $0.contents, as: UTF8.self) }) else { return nil }
        return RequestSource(name, origin: .certificate, counters: worker.metrics.counters(ofCaller: name))
    }

    /// The system's words for it, without the names of our calls.
    private static func text(_ error: any Error) -> String {
        guard let error = error as? IOError else { return "\(error)" }
        return unsafe strerror(error.errnoCode).map { unsafe String(cString: $0) } ?? "error \(error.errnoCode)"
    }

    /// Asks the gate again whether to accept: what it goes by has changed, and it may have agreed to connections before.
    package func reconsider() {
        self.channel.triggerUserOutboundEvent(AcceptGate.Reconsider(), promise: nil)
    }

    /// Accepts no more connections; those that are open stay.
    ///
    /// Those that wait in the kernel's queue are accepted first: closing would reset them, with the requests that they
    /// may have sent.
    package func stopAccepting() async {
        let loop = self.channel.eventLoop
        var known = -1
        for _ in 0..<Self.lastLooks {
            let current = self.spec.budget.current
            if current <= known { break }
            known = current
            // Long enough for the loop to ask the kernel what is ready, which running tasks alone does not make it do.
            try? await loop.scheduleTask(in: .milliseconds(2)) {}.futureResult.get()
        }
        try? await self.channel.close().get()
    }

    private static let lastLooks = 100
}
