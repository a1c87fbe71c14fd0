// SPDX-License-Identifier: Apache-2.0

import Common
import Logging
import NIOCore

/// Keeps what the control plane has said, and publishes what it comes to.
actor IstioKeeper {
    private var state: IstioState
    private var maker: HostMaker
    private let app: String
    private let names: NameBook
    private let directory: DirectoryPublisher
    private let mesh: Snapshot<Mesh>
    private let logger: Logger
    /// What the log has said.
    private var told: Set<String> = []
    /// Of which state of the routes.
    private var toldOf = -1
    private var routes: ControlPlaneRoutes?
    private var client: DiscoveryClient?
    private var versions: [ResourceKind: [String: String]] = [:]
    private var nextLook = NIODeadline.now() + IstioKeeper.pace

    /// More gaps than this are not told.
    private static let mostTold = 1_000
    /// How often it is looked what requests have used.
    static let pace = TimeAmount.seconds(5)

    /// - Parameter names: Looks up the names of endpoints.
    /// - Parameter mesh: What requests have used.
    init(
        _ place: MeshPlace, app: String, names: NameBook, directory: DirectoryPublisher, mesh: Snapshot<Mesh>,
        logger: Logger
    ) {
        self.state = IstioState(place, app: app)
        self.maker = HostMaker(app: app)
        self.app = app
        self.names = names
        self.directory = directory
        self.mesh = mesh
        self.logger = logger
    }

    /// The control plane is asked by `client` from now on.
    func begin(_ client: DiscoveryClient) async {
        self.client = client
        // Requests wait for the control plane, and not for nobody.
        await self.publish()
    }

    /// Requests ask for something; from time to time it is looked what they have used, and what they have not for long is
    /// forgotten.
    func want(_ demands: [ServiceDemand]) async {
        let now = NIODeadline.now()
        for demand in demands { self.state.want(demand, at: now) }
        if now >= self.nextLook {
            self.nextLook = now + Self.pace
            self.look(at: now)
        }
        await self.publish()
    }

    private func look(at now: NIODeadline) {
        let rules = self.mesh.current.rules
        let hosts = (self.routes?.hosts.keys).map { names in
            names.filter { rules.hosts.service(named: $0)?.use.take() ?? false }
        }
        let clusters = self.directory.current.all.filter { $0.use.take() }.map(\.name)
        self.state.note(hosts: hosts ?? [], clusters: clusters, at: now)
        self.state.forget(at: now)
        let (tables, endpoints) = (self.state.wantedTables, self.state.wantedEndpoints)
        self.versions[.route] = self.versions[.route]?.filter { tables.contains($0.key) }
        self.versions[.endpoints] = self.versions[.endpoints]?.filter { endpoints.contains($0.key) }
    }

    /// The addresses of a name are others.
    func namesChanged() async { await self.publish() }

    /// Takes what the control plane says.
    ///
    /// - Returns: What of it cannot be used.
    func take(_ update: ResourceUpdate) async -> [ResourceRefusal] {
        let resources = update.resources
        let refusals =
            switch update.kind {
            case .cluster: self.state.take(clusters: resources, removed: update.removed, isWhole: update.isWhole)
            case .endpoints: self.state.take(assignments: resources, removed: update.removed)
            case .route: self.state.take(tables: resources, removed: update.removed)
            }
        self.note(update, refusals)
        await self.publish()
        return refusals
    }

    /// What is held of a kind, with its versions.
    func held(_ kind: ResourceKind) -> [String: String] { self.versions[kind] ?? [:] }

    private func note(_ update: ResourceUpdate, _ refusals: [ResourceRefusal]) {
        let refused = Set(refusals.map(\.name))
        var versions = self.versions[update.kind] ?? [:]
        if update.isWhole { versions = versions.filter { refused.contains($0.key) } }
        for resource in update.resources {
            guard let name = resource.knownName, !refused.contains(name) else { continue }
            versions[name] = resource.version
        }
        for name in update.removed { versions[name] = nil }
        self.versions[update.kind] = versions
    }

    /// Publishes what is known, and has the control plane asked for the rest.
    private func publish() async {
        let now = NIODeadline.now()
        self.names.use(self.state.wantedNames)
        let ports = self.state.knownPorts(at: now)
        let routes = self.maker.make(self.state, ports: ports)
        let used = self.state.usedClusters(at: now)
        self.tell(used)
        let app = self.app
        self.routes = routes
        self.directory.publish(routes: routes) { builder in
            builder.isSynced = self.state.isSynced
            builder.isComplete = false
            builder.absences = self.state.absences(at: now)
            var known = Set(ports.map { ControlPlaneRoutes.demand(for: $0, app: app) })
            for (cluster, members) in used {
                guard case .known(let assignment) = members,
                    let entries = self.entries(of: assignment, cluster.settings)
                else { continue }
                known.insert(ServiceDemand(app: app, name: cluster.name))
                builder.addCluster(
                    cluster.name, entries,
                    localityWeights: cluster.weighsLocalities ? assignment?.localityWeights ?? [] : [])
            }
            builder.known = known
        }
        await self.client?.want(self.state.wantedEndpoints, of: .endpoints)
        await self.client?.want(self.state.wantedTables, of: .route)
    }

    /// The members at their addresses; `nil` while a name is being looked up.
    private func entries(of assignment: HeldAssignment?, _ settings: ClusterSettings) -> [ClusterEntry]? {
        let scheme = settings.isHTTP2 ? "grpc" : "rest"
        // As Envoy has it.
        let isWeighted = settings.strategy != .random
        var entries: [ClusterEntry] = []
        for member in assignment?.members ?? [] {
            var places = [member.place]
            if let name = member.name {
                guard let addresses = self.names[name] else { return nil }
                places = addresses.map { "\($0.asHost):\(member.port)" }
            }
            entries += places.map { place in
                ClusterEntry(
                    "\(scheme)://\(place)", weight: isWeighted ? member.weight : 1, priority: member.priority,
                    locality: member.locality, host: member.host, condition: member.condition)
            }
        }
        return entries
    }

    /// Tells once what is not done.
    private func tell(_ used: [(cluster: HeldCluster, members: IstioState.Members)]) {
        if self.toldOf != self.state.revision {
            self.toldOf = self.state.revision
            self.tell(self.state.tables.values.flatMap { $0.hosts.values.flatMap(\.gaps) })
        }
        for (cluster, members) in used {
            self.tell(cluster.gaps)
            if case .known(let assignment?) = members { self.tell(assignment.gaps) }
        }
    }

    private func tell(_ gaps: [String]) {
        for gap in gaps where self.told.count < Self.mostTold && self.told.insert(gap).inserted {
            self.logger.warning("Istio asks for what is not done", metadata: ["gap": "\(gap)"])
        }
    }
}
