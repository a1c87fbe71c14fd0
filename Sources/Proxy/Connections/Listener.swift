// SPDX-License-Identifier: Apache-2.0

package import Common
package import Logging
package import NIOCore
import NIOPosix
import NIOSSL
package import TLS

#if canImport(Glibc)
    import Glibc
#endif

/// A listening socket and the plan that its connections obey.
///
/// It belongs to the runtime and outlives the component whose plans it reads: while Ingress or Egress restarts, its
/// connections go on with the plan that was published last.
package final class Listener: Sendable {
    /// What a listener needs besides its address.
    package struct Setup: Sendable {
        /// Who serves the connections.
        package let workers: WorkerGroup
        /// What the connections obey.
        package let plans: Snapshot<TrafficPlan>
        /// Whether everything on it counts as gRPC.
        package let isGRPC: Bool
        /// What its clients must speak inside; `nil` for plain text.
        package let tls: TLSMaterial?
        /// How many connections there may be.
        package let budget: ConnectionBudget
        /// Where pauses are counted.
        package let metrics: MetricsRegistry
        /// For what goes wrong.
        package let logger: Logger

        /// A set-up.
        package init(
            workers: WorkerGroup, plans: Snapshot<TrafficPlan>, budget: ConnectionBudget, metrics: MetricsRegistry,
            logger: Logger, isGRPC: Bool = false, tls: TLSMaterial? = nil
        ) {
            self.isGRPC = isGRPC
            self.tls = tls
            self.workers = workers
            self.plans = plans
            self.budget = budget
            self.metrics = metrics
            self.logger = logger
        }
    }

    /// Where it listens; with the port that the kernel chose, if 0 was asked for.
    package let address: SocketAddress
    private let channel: any Channel
    private let budget: ConnectionBudget

    private init(_ channel: any Channel, _ address: SocketAddress, _ budget: ConnectionBudget) {
        self.channel = channel
        self.budget = budget
        self.address = address
    }

    /// Opens a listener.
    ///
    /// New connections go to the loops in turn.
    ///
    /// - Throws: `MesherError.cannotListen`.
    package static func open(_ address: SocketAddress, _ setup: Setup) async throws -> Listener {
        let rules = AcceptGate.Rules(
            setup.budget, overload: setup.workers.overload, metrics: setup.metrics, logger: setup.logger)
        let bootstrap = ServerBootstrap(group: setup.workers.loops)
            .serverChannelOption(.backlog, value: 4096)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelOption(.autoRead, value: false)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        AcceptGate(rules) { try Self.setUp($0, $1, setup) })
                }
            }
        do {
            let channel = try await bootstrap.bind(to: address).get()
            return Listener(channel, channel.localAddress ?? address, setup.budget)
        } catch {
            throw MesherError.cannotListen(
                address: "\(address.ipAddress ?? "?"):\(address.port ?? 0)", cause: Self.text(error),
                remedy: "free the port, or change listenAddress in chassis.yaml")
        }
    }

    /// The high mark that an accepted channel begins with; the low one is half of it.
    static var usualMark: Int { 64 << 10 }

    /// Makes a connection of an accepted channel; see ``AcceptGate/SetUp``.
    private static func setUp(_ channel: any Channel, _ budget: ConnectionBudget, _ setup: Setup) throws {
        let plans = setup.plans.reader(for: channel.eventLoop)
        let worker = setup.workers.worker(of: channel.eventLoop)
        let options = channel.syncOptions
        try options?.setOption(.allowRemoteHalfClosure, value: true)
        // Setting an option costs a hundredth of a connection that serves one request.
        let mark = plans.value.settings.writeBufferWaterMark
        if mark.high != Self.usualMark { try options?.setOption(.writeBufferWaterMark, value: mark) }
        guard let tls = setup.tls else {
            try channel.pipeline.syncOperations.addHandler(
                HTTP1ServerConnection(worker: worker, plans: plans, isGRPC: setup.isGRPC, budget: budget))
            return
        }
        try Self.addTLS(tls, setup, worker, plans, budget, to: channel)
    }

    /// Puts TLS in front: the handler of requests is added when it is known who the client is.
    private static func addTLS(
        _ tls: TLSMaterial, _ setup: Setup, _ worker: Worker, _ plans: Snapshot<TrafficPlan>.Reader,
        _ budget: ConnectionBudget, to channel: any Channel
    ) throws {
        try channel.syncOptions?.setOption(.maxMessagesPerRead, value: ProxySettings.readsPerEvent)
        guard let material = tls.context(.either) else { throw ChannelError.operationUnsupported }
        let handshake = TLSHandshake(
            tls, service: nil, metrics: worker.tlsMetrics, logger: setup.logger,
            limit: plans.value.settings.requestHead, budget: budget
        ) { result in
            guard case .completed(let negotiated, let context) = result else { return }
            let handler = HTTP1ServerConnection(
                worker: worker, plans: plans, isGRPC: setup.isGRPC, negotiated: negotiated, budget: budget)
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
            let current = self.budget.current
            if current <= known { break }
            known = current
            // Long enough for the loop to ask the kernel what is ready, which running tasks alone does not make it do.
            try? await loop.scheduleTask(in: .milliseconds(2)) {}.futureResult.get()
        }
        try? await self.channel.close().get()
    }

    private static let lastLooks = 100
}
