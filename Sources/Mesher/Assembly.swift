// SPDX-License-Identifier: Apache-2.0

package import AdminAPI
package import Common
import Egress
import HealthAgent
import Ingress
package import Logging
package import NIOCore
import NIOPosix
package import Proxy
import RegistryBridge
package import ServiceLifecycle
import TLS

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
        /// Where logs go; `nil` where they cannot be changed while the process runs.
        package var logs: LogOutput?
        /// What libraries count, if anybody gathers it.
        package var libraryMetrics: LibraryMetrics?

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
        fileprivate let registration: RegistrationState
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
        /// What is kept of single requests.
        package let telemetry: Telemetry

        /// Returns when others can find the local service at the registry, or when the task is cancelled.
        package func registered() async {
            while !self.registration.isRegistered, !Task.isCancelled {
                try? await Task.sleep(for: .milliseconds(20))
            }
        }

        /// Runs until shut down, and ends the event loops.
        package func run() async throws {
            let result: Result<Void, any Error>
            do {
                try await self.group.run()
                result = .success(())
            } catch {
                result = .failure(error)
            }
            self.workers.forEach {
                $0.deadlines.stop()
                $0.waits.stop()
                $0.addresses.stop()
                $0.stopReporting()
            }
            await self.center?.close()
            try await self.loops.shutdownGracefully()
            try await self.controlLoops.shutdownGracefully()
            self.telemetry.flush()
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
        let center = try self.center(on: controlLoops)
        let serverTLS = try ControlTLS.of(config.configServer?.tls, logger: logger)
        let tls = try TLSContexts(config.tls)
        for problem in tls.problems {
            logger.warning("connections to a service will fail", metadata: ["problem": "\(problem)"])
        }
        let directory = Snapshot(
            center?.saved.directory(app: config.identity.app)
                ?? ServiceDirectory([], isSynced: config.registry.kind == nil), on: loops)
        let token = HopToken()
        let outgoingPlans = Snapshot(EgressComponent.plan(config, token: token), on: loops)
        let incomingPlans = Snapshot(IngressComponent.plan(config), on: loops)
        let egressInbox = Mailbox<TrafficMessage>("egress", capacity: 8, whenFull: .dropOldest)
        let ingressInbox = Mailbox<TrafficMessage>("ingress", capacity: 8, whenFull: .dropOldest)
        let logsInbox = Mailbox<TrafficMessage>("logs", capacity: 8, whenFull: .dropOldest)
        let configInbox = Mailbox<ConfigMessage>("config", capacity: 2, whenFull: .dropNewest)
        let registryInbox = Mailbox<RegistryMessage>("registry", capacity: 4, whenFull: .dropOldest)
        let discoveryInbox = Mailbox<DiscoveryMessage>("discovery", capacity: 4096, whenFull: .dropNewest)
        let readiness = Readiness(config.registry.kind == nil ? [.listeners] : [.listeners, .registry])
        if directory.current.isSynced { readiness.set(.registry) }
        let health = LocalHealth()
        let registryStatus = RegistryStatus()
        let configServer = ConfigServerStatus()
        let registration = RegistrationState()
        let memory = self.surroundings.memory
        let overload = Overload(limit: config.proxy.maxMemory, systemLimit: memory.limit() ?? 0)
        let identity = config.identity
        let metrics = MetricsRegistry(
            startTime: ProcessClock.startTime,
            own: .service(identity.name, app: identity.app, version: identity.version))

        let telemetry = Telemetry(config, logs: config.logs.placed(in: LogConfig.home), metrics: metrics)

        // Listeners: they belong to the runtime, so that a restart of Egress or Ingress loses no connection.
        var ask: (@Sendable (DiscoveryMessage) -> Bool)?
        if center != nil { ask = { discoveryInbox.send($0) } }
        // Nobody has to be told: the names of endpoints are looked up as soon as they are read.
        if config.registry.kind == .file { ask = { _ in true } }
        let workers = try await WorkerGroup(
            on: loops, directory: directory, metrics: metrics, logger: logger, overload: overload, tls: tls,
            records: telemetry.inbox, ask: ask)
        let processBudget = ConnectionBudget(limit: ConnectionBudget.share(ofDescriptors: Descriptors.raiseLimit()))
        let outgoingBudget = ConnectionBudget(limit: config.proxy.maxConnections, within: processBudget)
        let incomingBudget = ConnectionBudget(limit: config.proxy.maxConnections, within: processBudget)
        let setup = Listener.Setup(workers: workers, metrics: metrics, logger: logger)
        var opened: [Listener] = []
        for spec in self.specs(
            tls, outgoing: (outgoingPlans, outgoingBudget), incoming: (incomingPlans, incomingBudget))
        {
            if let listener = try await self.open(spec, setup) { opened.append(listener) }
        }
        let listeners = opened
        let outgoingListeners = listeners.filter { $0.spec.direction == .outgoing }
        let incomingListeners = listeners.filter { $0.spec.direction == .incoming }
        guard let outgoing = outgoingListeners.first?.address else { preconditionFailure("no outgoing listener") }
        readiness.set(.listeners)
        self.report(listeners)

        // Components, in the order in which they are stopped last to first: callers are told first, metrics end last.
        var supervisor = Supervisor(logger: logger)
        let mailboxes: [any MailboxReport] = [
            configInbox, egressInbox, ingressInbox, logsInbox, registryInbox, discoveryInbox, telemetry.inbox,
        ]
        let configState = self.surroundings.source.map { ConfigState($0.result, now: ProcessClock.startTime) }
        if let address = config.listeners.admin {
            let monitor = TrafficMonitor(metrics: metrics) {
                TrafficInspector.services(directory.current, plan: outgoingPlans.current, now: .now())
            }
            let views = AdminState.Views(
                directory: { directory.current },
                routes: { outgoingPlans.current.governance?.rules.routes ?? RouteTable() },
                loops: { workers.reports }, resident: { memory.resident() ?? 0 }, mailboxes: { mailboxes },
                registrationFailure: { registration.failure },
                // Addresses, ports and identity need a restart to change, so that `config` is right about them.
                explain: { question in
                    try Explainer(config, plan: outgoingPlans.current, directory: directory.current, now: .now())
                        .explain(question)
                })
            let state = AdminState(
                config, build: self.surroundings.build, readiness: readiness, health: health,
                registry: center == nil ? nil : registryStatus, configServer: configServer, configState: configState,
                metrics: metrics, overload: overload, monitor: monitor, telemetry: telemetry,
                logLevel: self.surroundings.logLevel, views: views,
                listeners: (outgoingListeners + incomingListeners).map { Self.shown($0) },
                startTime: ProcessClock.startTime)
            let admit = self.adminGate(metrics)
            supervisor.add("admin", drainLimit: AdminComponent.drainLimit) {
                AdminComponent(
                    address: address, state: state, loops: controlLoops, logger: logger, onListening: admit)
            }
            supervisor.add("monitor") { TrafficMonitorComponent(monitor) }
            if let profiling = config.admin.profiling {
                let admit = self.adminGate(metrics)
                supervisor.add("profiling", drainLimit: AdminComponent.drainLimit) {
                    AdminComponent(
                        .profiles, address: profiling, state: state, loops: controlLoops, logger: logger,
                        onListening: admit)
                }
            }
        }
        if let tracing = config.tracing {
            supervisor.add("trace-export") {
                TraceExportComponent(tracing, telemetry: telemetry, loops: controlLoops, logger: logger)
            }
        }
        supervisor.add("telemetry") {
            TelemetryComponent(telemetry) { _ = try? await workers.gather { $0.telemetry.handOver() } }
        }
        if let (loader, _) = self.surroundings.source, let state = configState {
            state.register(with: metrics)
            let logs = self.surroundings.logs
            supervisor.add("logs") {
                LogComponent(
                    inbox: logsInbox, config.logs, home: LogConfig.home, output: logs, telemetry: telemetry)
            }
            supervisor.add("config") {
                ConfigComponent(
                    loader: loader, state: state, inbox: configInbox,
                    receivers: [egressInbox, ingressInbox, logsInbox], logger: logger)
            }
            if let server = config.configServer {
                ConfigServerMetrics(status: configServer, state: state).register(with: metrics)
                supervisor.add("config-server") {
                    ConfigServerComponent(
                        server, scope: ConfigServerScope(identity), login: center?.client, tls: serverTLS,
                        inbox: configInbox,
                        status: configServer, loops: controlLoops, logger: logger)
                }
            }
        }
        if !tls.all.isEmpty {
            tls.register(with: metrics)
            supervisor.add("tls") { TLSComponent(tls, logger: logger) }
        }
        supervisor.add("memory") {
            MemoryComponent(overload, logger: logger, resident: memory.resident) { level in
                if level > .normal { workers.forEach { $0.closeIdleConnections() } }
                for listener in listeners { listener.reconsider() }
            }
        }
        let stopLimit = Duration(config.proxy.drain)
        let outgoingTraffic = TrafficControl(
            listeners: outgoingListeners, budgets: [outgoingBudget], workers: workers, logger: logger)
        supervisor.add("egress", drainLimit: stopLimit) {
            EgressComponent(
                inbox: egressInbox, plans: outgoingPlans, traffic: outgoingTraffic, token: token, logger: logger)
        }
        let incomingTraffic = TrafficControl(
            listeners: incomingListeners, budgets: [incomingBudget], workers: workers, logger: logger)
        supervisor.add("ingress", drainLimit: stopLimit) {
            IngressComponent(inbox: ingressInbox, plans: incomingPlans, traffic: incomingTraffic, logger: logger)
        }
        supervisor.add("health") {
            HealthComponent(
                config.healthChecks, health: health, registry: registryInbox, loops: controlLoops, logger: logger)
        }
        let publisher = DirectoryPublisher(directory, ownApp: identity.app) { readiness.set(.registry) }
        if let center {
            self.add(
                center, to: &supervisor, registration, health, registryInbox, discoveryInbox, readiness, registryStatus,
                publisher,
                controlLoops)
            RegistryMetrics(status: registryStatus).register(with: metrics)
        }
        if config.registry.kind == .file {
            let path = Self.path(of: config.registry, in: self.surroundings.configDirectory)
            supervisor.add("registry") {
                RegistryComponent(FileRegistry(path: path, logger: logger), directory: publisher)
            }
        }
        add(&supervisor, controlLoops)
        supervisor.add("readiness") { ReadinessComponent(readiness) }
        ComponentMetrics(
            restarts: supervisor.restarts,
            mailboxes: mailboxes
        ).register(with: metrics)
        LoopMetrics(workers: workers).register(with: metrics)
        SnapshotMetrics(directory: directory, outgoing: outgoingPlans, incoming: incomingPlans).register(with: metrics)
        if let logs = self.surroundings.logs { LogMetrics(output: logs).register(with: metrics) }
        if let libraries = self.surroundings.libraryMetrics { metrics.addCollector { libraries.families() } }
        OverloadMetrics(overload: overload, memory: memory).register(with: metrics)
        return Sidecar(
            group: supervisor.makeGroup(stopWithin: stopLimit), outgoing: outgoing,
            incoming: incomingListeners.first { !$0.spec.isGRPC }?.address, metrics: metrics, readiness: readiness,
            supervisor: supervisor,
            configInbox: configInbox, center: center?.client, registration: registration, directory: directory,
            trafficInboxes: [egressInbox, ingressInbox], budget: processBudget, loops: loops,
            controlLoops: controlLoops, workers: workers, plans: [outgoingPlans, incomingPlans], telemetry: telemetry)
    }

    /// The gate of a listener for operators and probes, who are answered also when memory runs out.
    private func adminGate(_ metrics: MetricsRegistry) -> @Sendable (any Channel) async -> Void {
        let rules = AcceptGate.Rules(
            ConnectionBudget(limit: AdminComponent.mostConnections), overload: nil, metrics: metrics,
            logger: self.surroundings.logger)
        return { channel in await AcceptGate.add(to: channel, rules) }
    }

    /// A listener as operators see it.
    private static func shown(_ listener: Listener) -> TrafficDocument.Listener {
        .init(
            direction: listener.spec.direction.rawValue, protocol: listener.spec.isGRPC ? "grpc" : "http",
            address: listener.address.text)
    }

    /// What the listeners of traffic and their connections obey, in the order in which they are opened.
    private func specs(
        _ tls: TLSContexts, outgoing: (plans: Snapshot<TrafficPlan>, budget: ConnectionBudget),
        incoming: (plans: Snapshot<TrafficPlan>, budget: ConnectionBudget)
    ) -> [ListenerSpec] {
        let addresses = self.config.listeners
        var specs = [
            ListenerSpec(
                addresses.outgoing.socketAddress, plans: outgoing.plans, budget: outgoing.budget, tls: tls.outgoing)
        ]
        if let address = addresses.incoming {
            specs.append(
                ListenerSpec(address.socketAddress, plans: incoming.plans, budget: incoming.budget, tls: tls.incoming))
        }
        if let address = addresses.grpcOutgoing {
            specs.append(
                ListenerSpec(
                    address.socketAddress, plans: outgoing.plans, budget: outgoing.budget, tls: tls.outgoing,
                    isGRPC: true, isOptional: !addresses.isGRPCConfigured))
        }
        if let address = addresses.grpcIncoming {
            specs.append(
                ListenerSpec(
                    address.socketAddress, plans: incoming.plans, budget: incoming.budget, tls: tls.incomingGRPC,
                    isGRPC: true))
        }
        return specs
    }

    /// Opens a listener; `nil` when nobody has asked for it and its usual port is taken.
    private func open(_ spec: ListenerSpec, _ setup: Listener.Setup) async throws -> Listener? {
        do {
            return try await Listener.open(spec, setup)
        } catch  where spec.isOptional {
            setup.logger.notice(
                "no gRPC: its usual port is taken; cse.protocols.grpc.listenAddress names another one",
                metadata: ["address": "\(spec.address.text)"])
            return nil
        }
    }

    /// What is needed of a service-center before anything runs.
    private struct Center {
        let client: ServiceCenterClient
        let cache: DiscoveryCache
        let saved: ServiceCenterRegistry.Saved
    }

    private func center(on loops: any EventLoopGroup) throws(MesherError) -> Center? {
        let (registry, identity) = (self.config.registry, self.config.identity)
        guard registry.kind == .serviceCenter, !registry.centers.isEmpty else { return nil }
        let client = ServiceCenterClient(
            addresses: registry.centers, project: registry.project, tenant: registry.tenant,
            account: registry.account, tls: try ControlTLS.of(registry.tls, logger: self.surroundings.logger),
            loops: loops, logger: self.surroundings.logger)
        let cache = DiscoveryCache(
            directory: StateDirectory.path(registry.stateDirectory),
            owner: [identity.app, identity.name, "\(self.config.listeners.outgoing.port)"],
            registry: "\(registry.centers.joined(separator: ","))/\(registry.tenant)/\(registry.project)",
            logger: self.surroundings.logger)
        return Center(client: client, cache: cache, saved: ServiceCenterRegistry.Saved(cache))
    }

    /// Adds what registers this sidecar with a service-center, and what finds others there.
    private func add(
        _ center: Center, to supervisor: inout Supervisor, _ state: RegistrationState, _ health: LocalHealth,
        _ inbox: Mailbox<RegistryMessage>,
        _ discovery: Mailbox<DiscoveryMessage>, _ readiness: Readiness, _ status: RegistryStatus,
        _ publisher: DirectoryPublisher, _ loops: any EventLoopGroup
    ) {
        let (client, identity) = (center.client, self.config.identity)
        let registration = Registration(self.config, version: self.surroundings.build.version)
        let logger = self.surroundings.logger
        if self.config.registry.isRegistering {
            // Its drain waits three seconds for a registration on its way, has two calls of two seconds each, the farewell,
            // and perhaps one more call.
            supervisor.add("registrar", drainLimit: .seconds(9) + registration.farewell) {
                RegistrarComponent(
                    registration, client: client, state: state, health: health, inbox: inbox, discovery: discovery,
                    readiness: readiness, logger: logger)
            }
        }
        let registry = ServiceCenterRegistry(
            .init(
                app: identity.app, environment: identity.environment, interval: self.config.registry.refresh,
                isRegistering: self.config.registry.isRegistering,
                // The registry pushes to registered services only.
                isWatching: self.config.registry.isWatching && self.config.registry.isRegistering,
                isIndexing: self.config.registry.isIndexing,
                isProbing: self.config.registry.isProbing,
                isFindingMembers: self.config.registry.isFindingMembers),
            client: client, registration: state, registrar: inbox, inbox: discovery, status: status,
            cache: center.cache, saved: center.saved, loops: loops, logger: logger)
        supervisor.add("registry") { RegistryComponent(registry, directory: publisher) }
    }

    /// Where the file of a file registry is.
    static func path(of registry: RegistryConfig, in configDirectory: String) -> String {
        if registry.address.hasPrefix("/") { return registry.address }
        return "\(configDirectory)/\(registry.address.isEmpty ? "service.json" : registry.address)"
    }

    /// Says where traffic is taken.
    private func report(_ listeners: [Listener]) {
        let logger = self.surroundings.logger
        for listener in listeners where !listener.spec.isGRPC {
            logger.notice(
                listener.spec.direction == .outgoing ? "taking outgoing requests" : "taking incoming requests",
                metadata: ["address": "\(listener.address.text)"])
        }
        if listeners.contains(where: { $0.spec.direction == .incoming && !$0.spec.isGRPC }) {
            if self.config.servicePorts.ports.isEmpty {
                logger.notice("no --service-ports: callers must name the port in the URL")
            }
            let endpoints = self.config.listeners.advertised.map(\.description).joined(separator: ", ")
            logger.info("what others are told", metadata: ["endpoints": "\(endpoints)"])
        } else if self.config.listeners.mode == .sidecar {
            logger.warning(
                "only a loopback listener: other hosts cannot call the local application through this sidecar")
        }
        for listener in listeners where listener.spec.isGRPC {
            logger.notice(
                "taking gRPC",
                metadata: [
                    "address": "\(listener.address.text)", "direction": "\(listener.spec.direction.rawValue)",
                ])
        }
    }
}

extension SocketAddress {
    /// `ip:port`, or `[ip]:port`.
    fileprivate var text: String {
        "\((self.ipAddress ?? "?").asHost):\(self.port ?? 0)"
    }
}
