// SPDX-License-Identifier: Apache-2.0

import AdminAPI
import Common
import Egress
import Ingress
import Logging
import NIOCore
import NIOPosix
import Proxy
import RegistryBridge
import TLS

/// What the components of one sidecar are connected by: event loops, snapshots, mailboxes, and slots for state.
///
/// Made once; it outlives every restart of a component.
struct Wiring: Sendable {
    let config: MesherConfig
    let surroundings: Assembly.Surroundings
    /// Those that serve traffic.
    let loops: MultiThreadedEventLoopGroup
    /// One for everything else, so that neither delays the other.
    let controlLoops: MultiThreadedEventLoopGroup

    // Snapshots.
    let mesh: Snapshot<Mesh>
    /// What governs outgoing calls.
    let governance = Governance()
    let outgoingPlans: Snapshot<TrafficPlan>
    let incomingPlans: Snapshot<TrafficPlan>

    /// What operators have decided.
    let operations: Operations

    let mailboxes: Mailboxes
    let metrics: MetricsRegistry
    let telemetry: Telemetry
    let tls: TLSContexts
    /// TLS of the configuration server; `nil` for none.
    let serverTLS: ControlTLS?
    /// `nil` without a service-center.
    let center: Center?
    /// The registries that are configured, and what they have said.
    let sources: MeshSources
    /// What this sidecar's own requests are known by.
    let token = HopToken()

    // State that one component owns and others show.
    let readiness: Readiness
    let overload: Overload
    let health = LocalHealth()
    let registryStatus = RegistryStatus()
    let controlPlane = ControlPlaneStatus()
    /// That of a second control plane.
    let streams = ControlPlaneStatus()
    /// Who this sidecar is in a mesh of Istio, as its authority proves it.
    let identity = IdentitySlot()
    /// What callers of that mesh speak to listeners that have no TLS of their own; `nil` where there is no mesh.
    let inboundTLS: TLSMaterial?
    let registration = RegistrationState()
    let configServer = ConfigServerStatus()
    /// `nil` where there are no files.
    let configState: ConfigState?

    /// The wiring of a sidecar; no listener is open yet.
    ///
    /// - Throws: `MesherError.configuration` when TLS cannot be used.
    init(_ config: MesherConfig, _ surroundings: Assembly.Surroundings) throws(MesherError) {
        let (identity, logger) = (config.identity, surroundings.logger)
        self.config = config
        self.surroundings = surroundings
        self.loops = MultiThreadedEventLoopGroup(
            numberOfThreads: config.workers > 0 ? config.workers : System.coreCount)
        self.controlLoops = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        self.center = try Center.of(config, loops: self.controlLoops, logger: logger)
        self.serverTLS = try ControlTLS.of(config.configServer?.tls, logger: logger)
        let hasIdentity = config.registry.allControlPlanes.contains { $0.isSecure && !$0.isMutual }
        self.tls = try TLSContexts(
            config.tls, secrets: MeshSecrets(identity: hasIdentity ? self.identity : nil))
        let isMutual = hasIdentity && config.registry.istio.inboundTLS != .off
        self.inboundTLS = isMutual ? self.identity.material(.meshServer) : nil
        self.outgoingPlans = Snapshot(EgressComponent.plan(config, token: self.token), on: self.loops)
        self.incomingPlans = Snapshot(IngressComponent.plan(config), on: self.loops)
        self.readiness = Readiness(MeshSources.conditions(config.registry).union([.listeners]))
        self.overload = Overload(limit: config.proxy.maxMemory, systemLimit: surroundings.memory.limit() ?? 0)
        self.metrics = MetricsRegistry(
            startTime: ProcessClock.startTime,
            own: .service(identity.name, app: identity.app, version: identity.version))
        self.telemetry = Telemetry(config, logs: config.logs.placed(in: LogConfig.home), metrics: self.metrics)
        self.mailboxes = Mailboxes(self.telemetry)
        self.sources = MeshSources(
            config.registry, saved: self.center?.saved, app: identity.app, inbox: self.mailboxes.mesh)
        self.mesh = Snapshot(self.sources.initial(MeshRules(config)), on: self.loops)
        self.operations = Operations(mesh: self.mesh, governance: self.governance, logger: logger)
        self.configState = surroundings.source.map { ConfigState($0.result, now: ProcessClock.startTime) }
        self.sources.report(to: self.readiness)
    }

    var logger: Logger { self.surroundings.logger }
    /// How long the graceful stop may take.
    var stopLimit: Duration { Duration(self.config.proxy.drain) }
    /// How long others are served as before when it begins.
    var notice: Duration { min(Duration(self.config.proxy.notice), self.stopLimit / 2) }
    /// How long to wait for the registry before saying to be ready; zero for as long as it takes.
    var readyLimit: Duration { Duration(self.config.proxy.ready) }

    /// Takes the sidecar out of service; it goes on for its application, and for whoever still comes, until it is stopped.
    func leave(askedBy asker: String) {
        guard self.readiness.beginDraining() else { return }
        self.logger.notice(
            "taken out of service: others are told to go elsewhere, and served until then",
            metadata: ["by": "\(asker)"])
    }

    /// Asks the registry for a service; `nil` where there is none to ask.
    var ask: (@Sendable (RegistryMessage) -> Bool)? {
        // Nobody has to be told: the names of endpoints are looked up as soon as they are read.
        if self.config.registry.kinds == [.file] { return { _ in true } }
        var inboxes: [Mailbox<RegistryMessage>] = []
        if self.center != nil { inboxes.append(self.mailboxes.registry) }
        if self.config.registry.uses(.istio) { inboxes.append(self.mailboxes.istio) }
        guard !inboxes.isEmpty else { return nil }
        // All are asked: whichever has it answers.
        return { [inboxes] message in inboxes.reduce(true) { $1.send(message) && $0 } }
    }
}
