// SPDX-License-Identifier: Apache-2.0

import Common
import Egress
import FoundationEssentials
import Logging
import RegistryBridge
import TLS

/// What finds services, and what registers the local one.
struct RegistryFeature: Feature {
    let wiring: Wiring

    func install(into supervisor: inout Supervisor) {
        let wiring = self.wiring
        self.installMesh(into: &supervisor)
        if let center = wiring.center, let publisher = self.publisher(.serviceCenter) {
            if wiring.config.registry.isRegistering { self.installRegistrar(center, into: &supervisor) }
            let registry = self.serviceCenter(center)
            supervisor.add("registry") { RegistryComponent(registry, directory: publisher) }
            RegistryMetrics(status: wiring.registryStatus).register(with: wiring.metrics)
        }
        if let use = wiring.config.registry.istioUse, let publisher = self.publisher(.istio) {
            let node = self.workload()
            self.installIstio(use, publisher, node, into: &supervisor)
            let servers = wiring.config.registry.allControlPlanes
            self.installIdentity(servers, node, into: &supervisor)
            let streams = wiring.sources.streams == nil ? nil : wiring.streams
            ControlPlaneMetrics(status: wiring.controlPlane, streams: streams).register(with: wiring.metrics)
        }
        if let publisher = self.publisher(.file) {
            let path = wiring.config.registry.path(in: wiring.surroundings.configDirectory)
            let told = wiring.surroundings.source?.result.problems ?? []
            supervisor.add(wiring.center == nil ? "registry" : "registry-file") {
                RegistryComponent(FileRegistry(path: path, told: told, logger: wiring.logger), directory: publisher)
            }
        }
    }

    /// What merges what the registries say, and publishes it with the rules.
    private func installMesh(into supervisor: inout Supervisor) {
        let (wiring, sources) = (self.wiring, self.wiring.sources)
        var asks: [Int: @Sendable (Set<String>) -> Void] = [:]
        if let center = sources[.serviceCenter] {
            let registry = wiring.mailboxes.registry
            asks[center.place] = { registry.send(.namesElsewhere($0)) }
        }
        supervisor.add("mesh") { [asks] in
            MeshComponent(
                sources.all, mesh: wiring.mesh, inbox: wiring.mailboxes.mesh, app: wiring.config.identity.app,
                asks: asks, publish: { wiring.operations.publish($0) },
                onSync: { if let condition = sources.condition($0) { wiring.readiness.set(condition) } },
                logger: wiring.logger)
        }
    }

    private func publisher(_ kind: RegistryConfig.Kind) -> DirectoryPublisher? {
        self.wiring.sources[kind].map { self.publisher($0) }
    }

    private func publisher(_ source: MeshSource) -> DirectoryPublisher {
        DirectoryPublisher(source, sharing: self.wiring.mesh, ownApp: self.wiring.config.identity.app)
    }

    private func installRegistrar(_ center: Center, into supervisor: inout Supervisor) {
        let wiring = self.wiring
        let registration = Registration(wiring.config, version: wiring.surroundings.build.version)
        // Its drain waits three seconds for a registration on its way, has two calls of two seconds each, the farewell,
        // and perhaps one more call.
        supervisor.add("registrar", drainLimit: .seconds(9) + registration.farewell) {
            RegistrarComponent(
                registration, client: center.client, state: wiring.registration, health: wiring.health,
                inbox: wiring.mailboxes.registrar, registry: wiring.mailboxes.registry, readiness: wiring.readiness,
                logger: wiring.logger)
        }
    }

    /// What has the mesh prove who this workload is, where the control plane knows it by a token.
    private func installIdentity(_ servers: [ServerAddress], _ node: NodeIdentity, into supervisor: inout Supervisor) {
        let (wiring, authorities) = (self.wiring, servers.filter { $0.isSecure && !$0.isMutual })
        guard !authorities.isEmpty else { return }
        supervisor.add("identity") {
            IdentityComponent(
                authorities, node: node, config: wiring.config.registry.istio, slot: wiring.identity,
                status: wiring.controlPlane, loops: wiring.controlLoops, logger: wiring.logger)
        }
    }

    /// Who this workload is to Istio.
    private func workload() -> NodeIdentity {
        let (wiring, logger) = (self.wiring, self.wiring.logger)
        let (identity, region) = (wiring.config.identity, wiring.config.governance.region)
        let place = region.region.isEmpty ? region.name : region.region
        let environment = ProcessInfo.processInfo.environment
        let addresses = MachineAddress.all().filter { !$0.isInternal }
        let node = NodeIdentity(
            environment: environment, host: environment["HOSTNAME"] ?? identity.name,
            address: addresses.first.map { "\($0)" }, labels: ["app": identity.name, "version": identity.version],
            locality: place.isEmpty ? nil : Locality(region: place, zone: region.zone))
        if let missing = node.missing {
            logger.warning(
                "Istio knows this workload by its address: \(missing) is not set",
                metadata: ["address": "\(node.address)"])
        }
        return node
    }

    /// A control plane, and what is asked of it.
    private struct ControlPlane {
        let part: IstioRegistry.Part
        let servers: [ServerAddress]
        let isPolled: Bool
        /// Of the file that keeps what it has said.
        let name: String
        let inbox: Mailbox<RegistryMessage>
        let status: ControlPlaneStatus
    }

    /// - Parameter use: What counts of the first control plane, or of the only one.
    private func installIstio(
        _ use: RegistryConfig.IstioUse, _ publisher: DirectoryPublisher, _ node: NodeIdentity,
        into supervisor: inout Supervisor
    ) {
        let (wiring, config) = (self.wiring, self.wiring.config.registry)
        let hasServices = use == .everything || use == .services
        let first = self.istio(
            ControlPlane(
                part: .init(
                    use, tellsExternalHosts: config.istio.tellsExternalHosts && config.streams == nil,
                    isIndexing: config.isIndexing && hasServices),
                servers: config.controlPlanes, isPolled: config.istio.isPolled && hasServices, name: "istio",
                inbox: wiring.mailboxes.istio, status: wiring.controlPlane), node)
        supervisor.add("istio") { RegistryComponent(first, directory: publisher) }
        guard let streams = config.streams, let source = wiring.sources.streams else { return }
        let second = self.istio(
            ControlPlane(
                part: .init(streams.use, tellsExternalHosts: config.istio.tellsExternalHosts),
                servers: streams.servers, isPolled: false, name: "istio-streams",
                // Nobody asks it for services.
                inbox: Mailbox("istio-streams", capacity: 1, whenFull: .dropNewest), status: wiring.streams), node)
        let other = self.publisher(source)
        supervisor.add("istio-streams") { RegistryComponent(second, directory: other) }
    }

    private func istio(_ plane: ControlPlane, _ node: NodeIdentity) -> IstioRegistry {
        let identity = self.wiring.config.identity
        let (wiring, logger) = (self.wiring, self.wiring.logger)
        let (loops, config) = (wiring.controlLoops, wiring.config.registry.istio)
        let refresh = wiring.config.registry.refresh
        let file = StateFile(
            plane.name, of: [identity.app, identity.name, "\(wiring.config.listeners.outgoing.port)"],
            in: StateDirectory.path(wiring.config.registry.stateDirectory), type: "pb")
        let labels: @Sendable () -> SubsetReader? = {
            SubsetReader(
                environment: ProcessInfo.processInfo.environment, directory: config.serviceAccountDirectory,
                domain: node.domain, loops: loops, logger: logger)
        }
        return IstioRegistry(
            node, app: identity.app, part: plane.part, inbox: plane.inbox, mesh: wiring.mesh,
            status: plane.status, secrets: wiring.tls.secrets,
            cache: ControlPlaneCache(file, servers: plane.servers, node: node, logger: logger),
            subsets: plane.part.needsLabels ? labels : nil,
            connect: { receive, versions in
                if plane.isPolled {
                    return PolledControlPlane(
                        plane.servers, node: node, interval: refresh, status: plane.status, loops: loops,
                        logger: logger, receive: receive, versions: versions)
                }
                return DiscoveryClient(
                    plane.servers, node: node, config: config, status: plane.status, loops: loops, logger: logger,
                    receive: receive, versions: versions)
            },
            logger: logger)
    }

    private func serviceCenter(_ center: Center) -> ServiceCenterRegistry {
        let (wiring, config) = (self.wiring, self.wiring.config.registry)
        let identity = wiring.config.identity
        return ServiceCenterRegistry(
            .init(
                app: identity.app, environment: identity.environment, interval: config.refresh,
                isRegistering: config.isRegistering,
                // The registry pushes to registered services only.
                isWatching: config.isWatching && config.isRegistering, isIndexing: config.isIndexing,
                isProbing: config.isProbing, isFindingMembers: config.isFindingMembers),
            client: center.client, registration: wiring.registration, registrar: wiring.mailboxes.registrar,
            inbox: wiring.mailboxes.registry, status: wiring.registryStatus, cache: center.cache,
            saved: center.saved, loops: wiring.controlLoops, logger: wiring.logger)
    }
}
