// SPDX-License-Identifier: Apache-2.0

package import Common
import AdminAPI
import Egress
import HealthAgent
import Ingress
package import Logging
package import NIOCore
import NIOPosix
package import Proxy
import RegistryBridge
package import ServiceLifecycle

/// Puts one sidecar together: every mailbox, snapshot, listener and component, and who is connected to whom.
package struct Assembly: Sendable {
    /// What is the same for every sidecar of a process.
    package struct Surroundings: Sendable {
        /// Where the configuration's relative paths begin.
        package var configDirectory: String
        /// Which build this is.
        package var build: BuildInfo
        /// For everything.
        package var logger: Logger
        /// Reads the configuration again while the sidecar runs, and what it has read; `nil` when there is no file.
        package var source: (loader: ConfigLoader, result: ConfigLoader.Result)?
        /// The memory of the process.
        package var memory: ProcessMemory

        /// Surroundings.
        package init(
            configDirectory: String, build: BuildInfo, logger: Logger, memory: ProcessMemory = .system
        ) {
            self.configDirectory = configDirectory
            self.build = build
            self.logger = logger
            self.memory = memory
        }
    }

    /// A sidecar whose listeners are open.
    package struct Sidecar: Sendable {
        /// Run it; it ends after a graceful shutdown.
        package let group: ServiceGroup
        /// Where outgoing traffic is taken.
        package let outgoing: SocketAddress
        /// Where incoming traffic is taken, if it is.
        package let incoming: SocketAddress?
        /// The metrics.
        package let metrics: MetricsRegistry
        /// What is missing before it is ready.
        package let readiness: Readiness
        /// Starts and stops the components.
        package let supervisor: Supervisor
        /// Where a reload is asked for.
        package let configInbox: Mailbox<ConfigMessage>
        fileprivate let center: ServiceCenterClient?
        /// The directory of services.
        package let directory: Snapshot<ServiceDirectory>
        /// Where a changed configuration is sent: the components of traffic.
        package let trafficInboxes: [Mailbox<TrafficMessage>]
        /// How many client connections there are.
        package var connections: Int { self.budget.current }
        fileprivate let budget: ConnectionBudget
        /// The event loops that serve traffic.
        package let loops: any EventLoopGroup
        fileprivate let controlLoops: MultiThreadedEventLoopGroup
        /// What serves the traffic.
        package let workers: WorkerGroup
        /// What outgoing and incoming traffic obey.
        package let plans: [Snapshot<TrafficPlan>]

        /// Runs until shut down, and ends the event loops.
        package func run() async throws {
            let result: Result<Void, any Error>
            do {
                try await self.group.run()
                result = .success(())
            } catch {
                result = .failure(error)
            }
            self.workers.forEach { $0.deadlines.stop() }
            await self.center?.close()
            try await self.loops.shutdownGracefully()
            try await self.controlLoops.shutdownGracefully()
            try result.get()
        }
    }

    private let config: MesherConfig
    private let surroundings: Surroundings

    /// An assembly of the sidecar that `config` describes.
    package init(_ config: MesherConfig, _ surroundings: Surroundings) {
        self.config = config
        self.surroundings = surroundings
    }

    /// Adds components to a sidecar that is being made; the event loops are those that serve no traffic.
    package typealias Additions = (inout Supervisor, any EventLoopGroup) -> Void

    /// Opens the listeners and puts the components behind them.
    ///
    /// - Parameter add: Adds further components, which are stopped before the others.
    /// - Throws: `MesherError.cannotListen`.
    package func make(adding add: Additions = { _, _ in }) async throws -> Sidecar {
        let config = self.config
        let logger = self.surroundings.logger
        let workerCount = config.workers > 0 ? config.workers : System.coreCount
        let loops = MultiThreadedEventLoopGroup(numberOfThreads: workerCount)
        let controlLoops = MultiThreadedEventLoopGroup(numberOfThreads: 1)

        // Snapshots and mailboxes: they outlive every restart of a component.
        // Without a registry there is nothing to wait for.
        let directory = Snapshot(ServiceDirectory([], isSynced: config.registry.kind == nil), on: loops)
        let token = HopToken()
        let outgoingPlans = Snapshot(EgressComponent.plan(config, token: token), on: loops)
        let incomingPlans = Snapshot(IngressComponent.plan(config), on: loops)
        let egressInbox = Mailbox<TrafficMessage>("egress", capacity: 8, whenFull: .dropOldest)
        let ingressInbox = Mailbox<TrafficMessage>("ingress", capacity: 8, whenFull: .dropOldest)
        let configInbox = Mailbox<ConfigMessage>("config", capacity: 2, whenFull: .dropNewest)
        let registryInbox = Mailbox<RegistryMessage>("registry", capacity: 4, whenFull: .dropOldest)
        let readiness = Readiness(config.registry.kind == nil ? [.listeners] : [.listeners, .registry])
        let health = LocalHealth()
        let memory = self.surroundings.memory
        let overload = Overload(limit: config.proxy.maxMemory, systemLimit: memory.limit() ?? 0)
        let identity = config.identity
        let metrics = MetricsRegistry(
            startTime: ProcessClock.startTime,
            own: .service(identity.name, app: identity.app, version: identity.version))

        // Listeners: they belong to the runtime, so that a restart of Egress or Ingress loses no connection.
        let workers = try await WorkerGroup(
            on: loops, directory: directory, metrics: metrics, logger: logger, overload: overload)
        let processBudget = ConnectionBudget(limit: ConnectionBudget.share(ofDescriptors: Descriptors.raiseLimit()))
        let outgoingBudget = ConnectionBudget(limit: config.proxy.maxConnections, within: processBudget)
        let incomingBudget = ConnectionBudget(limit: config.proxy.maxConnections, within: processBudget)
        func setup(_ plans: Snapshot<TrafficPlan>, _ budget: ConnectionBudget) -> Listener.Setup {
            Listener.Setup(workers: workers, plans: plans, budget: budget, metrics: metrics, logger: logger)
        }
        let outgoing = try await Listener.open(
            config.listeners.outgoing.socketAddress, setup(outgoingPlans, outgoingBudget))
        var incoming: Listener?
        if let address = config.listeners.incoming {
            incoming = try await Listener.open(address.socketAddress, setup(incomingPlans, incomingBudget))
        }
        let listeners = [outgoing] + (incoming.map { [$0] } ?? [])
        readiness.set(.listeners)
        self.report(outgoing, incoming)

        // Components, in the order in which they are stopped last to first: callers are told first, metrics end last.
        var supervisor = Supervisor(logger: logger)
        if let address = config.listeners.admin {
            let state = AdminState(
                identity: identity, build: self.surroundings.build, readiness: readiness, health: health,
                metrics: metrics)
            supervisor.add("admin") {
                AdminComponent(address: address, state: state, loops: controlLoops, logger: logger)
            }
        }
        if let (loader, result) = self.surroundings.source {
            let state = ConfigState(result, now: ProcessClock.startTime)
            state.register(with: metrics)
            supervisor.add("config") {
                ConfigComponent(
                    loader: loader, state: state, inbox: configInbox, receivers: [egressInbox, ingressInbox],
                    logger: logger)
            }
        }
        supervisor.add("memory") {
            MemoryComponent(overload, logger: logger, resident: memory.resident) { level in
                if level > .normal { workers.forEach { $0.closeIdleConnections() } }
                for listener in listeners { listener.reconsider() }
            }
        }
        let stopLimit = Duration(config.proxy.drain)
        let outgoingTraffic = TrafficControl(
            listeners: [outgoing], budgets: [outgoingBudget], workers: workers, logger: logger)
        supervisor.add("egress", drainLimit: stopLimit) {
            EgressComponent(
                inbox: egressInbox, plans: outgoingPlans, traffic: outgoingTraffic, token: token, logger: logger)
        }
        let incomingTraffic = TrafficControl(
            listeners: Array(listeners.dropFirst()), budgets: [incomingBudget], workers: workers, logger: logger)
        supervisor.add("ingress", drainLimit: stopLimit) {
            IngressComponent(inbox: ingressInbox, plans: incomingPlans, traffic: incomingTraffic, logger: logger)
        }
        supervisor.add("health") {
            HealthComponent(
                config.healthChecks, health: health, registry: registryInbox, loops: controlLoops, logger: logger)
        }
        let center = self.addRegistrar(&supervisor, health, registryInbox, readiness, controlLoops)
        if config.registry.kind == .file {
            let publisher = DirectoryPublisher(directory, ownApp: identity.app) { readiness.set(.registry) }
            let path = self.path(of: config.registry)
            supervisor.add("registry") {
                RegistryComponent(FileRegistry(path: path, logger: logger), directory: publisher)
            }
        }
        add(&supervisor, controlLoops)
        supervisor.add("readiness") { ReadinessComponent(readiness) }
        ComponentMetrics(
            restarts: supervisor.restarts, mailboxes: [configInbox, egressInbox, ingressInbox, registryInbox]
        ).register(with: metrics)
        OverloadMetrics(overload: overload, memory: memory).register(with: metrics)
        return Sidecar(
            group: supervisor.makeGroup(stopWithin: stopLimit), outgoing: outgoing.address,
            incoming: incoming?.address, metrics: metrics, readiness: readiness, supervisor: supervisor,
            configInbox: configInbox, center: center, directory: directory,
            trafficInboxes: [egressInbox, ingressInbox], budget: processBudget, loops: loops,
            controlLoops: controlLoops, workers: workers, plans: [outgoingPlans, incomingPlans])
    }

    /// Adds what registers this sidecar, if there is a service-center.
    ///
    /// - Returns: What has to be closed at the end.
    private func addRegistrar(
        _ supervisor: inout Supervisor, _ health: LocalHealth, _ inbox: Mailbox<RegistryMessage>,
        _ readiness: Readiness, _ loops: any EventLoopGroup
    ) -> ServiceCenterClient? {
        let registry = self.config.registry
        guard registry.kind == .serviceCenter, !registry.centers.isEmpty else { return nil }
        let client = ServiceCenterClient(
            addresses: registry.centers, project: registry.project, tenant: registry.tenant, loops: loops)
        let registration = Registration(self.config, version: self.surroundings.build.version)
        let (state, logger) = (RegistrationState(), self.surroundings.logger)
        // Its drain has two calls of two seconds each, and the farewell.
        supervisor.add("registrar", drainLimit: .seconds(5) + registration.farewell) {
            RegistrarComponent(
                registration, client: client, state: state, health: health, inbox: inbox, readiness: readiness,
                logger: logger)
        }
        return client
    }

    private func path(of registry: RegistryConfig) -> String {
        if registry.address.hasPrefix("/") { return registry.address }
        return "\(self.surroundings.configDirectory)/\(registry.address.isEmpty ? "service.json" : registry.address)"
    }

    private func report(_ outgoing: Listener, _ incoming: Listener?) {
        let logger = self.surroundings.logger
        logger.notice("taking outgoing requests", metadata: ["address": "\(outgoing.address.text)"])
        if let incoming {
            logger.notice("taking incoming requests", metadata: ["address": "\(incoming.address.text)"])
            if self.config.servicePorts.ports.isEmpty {
                logger.notice("no --service-ports: callers must name the port in the URL")
            }
            let endpoints = self.config.listeners.advertised.map(\.description).joined(separator: ", ")
            logger.info("what others are told", metadata: ["endpoints": "\(endpoints)"])
        } else if self.config.listeners.mode == .sidecar {
            logger.warning(
                "only a loopback listener: other hosts cannot call the local application through this sidecar")
        }
    }
}

extension SocketAddress {
    /// `ip:port`, or `[ip]:port`.
    fileprivate var text: String {
        let ip = self.ipAddress ?? "?"
        return "\(ip.contains(":") ? "[\(ip)]" : ip):\(self.port ?? 0)"
    }
}
