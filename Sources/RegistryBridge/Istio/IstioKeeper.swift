// SPDX-License-Identifier: Apache-2.0

import Common
import Logging
import NIOCore
import TLS

/// Keeps what the control plane has said, and publishes what it comes to.
actor IstioKeeper {
    private var state: IstioState
    private var maker: HostMaker
    private let app: String
    private let part: IstioRegistry.Part
    private let names: NameBook
    private let directory: DirectoryPublisher
    private let mesh: Snapshot<Mesh>
    private let logger: Logger
    /// What the log has said.
    private var told: Set<String> = []
    /// Of which state of the routes.
    private var toldOf = -1
    private var routes: ControlPlaneRoutes?
    /// Every service, for its addresses, in the order of their names; empty unless they are indexed.
    private var indexed: [Service] = []
    private var client: (any ControlPlaneClient)?
    /// What was taken and still counts, as it came.
    private var taken: ControlPlaneCache.Resources = [:]
    private let cache: ControlPlaneCache
    private let status: ControlPlaneStatus
    private let secrets: MeshSecrets
    private let unsaved: @Sendable () -> Void
    private var nextSave = NIODeadline.now()
    private var cannotSave = false
    private var nextLook = NIODeadline.now() + IstioKeeper.pace
    /// Until when the control plane is waited for before what an earlier process has saved is good.
    private var savedFrom: NIODeadline?

    /// More gaps than this are not told.
    private static let mostTold = 1_000
    /// And no more than this are kept for those who look.
    private static let mostShown = 100
    /// How often it is looked what requests have used.
    static let pace = TimeAmount.seconds(5)
    /// How long the control plane may take for its first word while something older is at hand.
    static let grace = TimeAmount.seconds(1)

    /// - Parameter part: What of its words counts.
    /// - Parameter names: Looks up the names of endpoints.
    /// - Parameter mesh: What requests have used.
    /// - Parameter secrets: Told what TLS to endpoints needs.
    /// - Parameter cache: Where what is taken is saved.
    /// - Parameter unsaved: Called when there is something new to save.
    init(
        _ place: MeshPlace, app: String, part: IstioRegistry.Part,
        names: NameBook, directory: DirectoryPublisher, mesh: Snapshot<Mesh>,
        status: ControlPlaneStatus, secrets: MeshSecrets, cache: ControlPlaneCache,
        unsaved: @escaping @Sendable () -> Void, logger: Logger
    ) {
        self.state = IstioState(
            place, app: app, use: part.use, isIndexing: part.isIndexing, tellsExternalHosts: part.tellsExternalHosts)
        self.part = part
        self.maker = HostMaker(
            app: app, hasIdentity: secrets.hasIdentity, tellsExternalHosts: part.tellsExternalHosts)
        self.secrets = secrets
        self.app = app
        self.names = names
        self.directory = directory
        self.mesh = mesh
        self.cache = cache
        self.unsaved = unsaved
        self.status = status
        self.logger = logger
    }

    /// The control plane is asked by `client` from now on.
    func begin(_ client: any ControlPlaneClient) async {
        self.client = client
        self.restore(self.cache.load(), at: .now())
        // Requests wait for the control plane, and not for nobody.
        await self.publish()
    }

    /// Takes what an earlier process has saved, which nobody sees before the control plane has had its time: a control plane
    /// that is there has said something newer by then.
    private func restore(_ saved: ControlPlaneCache.Resources, at now: NIODeadline) {
        guard let clusters = saved[.cluster], !clusters.isEmpty else { return }
        self.take(.cluster, clusters)
        let (endpoints, tables) = (saved[.endpoints] ?? [:], saved[.route] ?? [:])
        self.state.want(endpoints: endpoints.keys, at: now)
        for name in tables.keys { self.state.want(table: name, at: now) }
        self.take(.endpoints, endpoints)
        self.take(.route, tables)
        self.savedFrom = now + Self.grace
    }

    private func take(_ kind: ResourceKind, _ resources: [String: ResourceUpdate.Resource]) {
        let update = ResourceUpdate(
            kind: kind, resources: resources.sorted { $0.key < $1.key }.map(\.value), removed: [], isWhole: false)
        self.note(update, self.apply(update))
    }

    /// When the keeper has something to do by itself.
    var nextTime: NIODeadline { min(self.savedFrom ?? .distantFuture, .now() + Self.pace) }

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
        self.keep(tables, of: .route)
        self.keep(endpoints, of: .endpoints)
    }

    private func keep(_ names: Set<String>, of kind: ResourceKind) {
        guard let taken = self.taken[kind], !taken.keys.allSatisfy(names.contains) else { return }
        self.taken[kind] = taken.filter { names.contains($0.key) }
        self.unsaved()
    }

    /// The addresses of a name are others.
    func namesChanged() async { await self.publish() }

    /// Takes what the control plane says.
    ///
    /// - Returns: What of it cannot be used.
    func take(_ update: ResourceUpdate) async -> [ResourceRefusal] {
        let refusals = self.apply(update)
        self.note(update, refusals)
        self.unsaved()
        self.savedFrom = nil
        await self.publish()
        return refusals
    }

    private func apply(_ update: ResourceUpdate) -> [ResourceRefusal] {
        switch update.kind {
        case .cluster:
            self.state.take(clusters: update.resources, removed: update.removed, isWhole: update.isWhole, at: .now())
        case .endpoints: self.state.take(assignments: update.resources, removed: update.removed)
        case .route: self.state.take(tables: update.resources, removed: update.removed)
        }
    }

    /// Takes what subsets select by.
    func take(labels: SubsetTable) async {
        self.state.take(labels: labels)
        await self.publish()
    }

    /// The subsets that there are.
    var subsets: Set<ClusterName> { self.state.subsetKeys }

    /// What is held of a kind, with its versions.
    func held(_ kind: ResourceKind) -> [String: String] { self.taken[kind]?.mapValues(\.version) ?? [:] }

    /// Remembers what was taken.
    private func note(_ update: ResourceUpdate, _ refusals: [ResourceRefusal]) {
        let refused = Set(refusals.map(\.name))
        var taken = self.taken[update.kind] ?? [:]
        if update.isWhole { taken = taken.filter { refused.contains($0.key) } }
        for resource in update.resources {
            guard let name = resource.knownName, !refused.contains(name), self.state.holds(name, update.kind)
            else { continue }
            taken[name] = resource
        }
        for name in update.removed where !self.state.holds(name, update.kind) { taken[name] = nil }
        self.taken[update.kind] = taken
    }

    /// How long what is new waits until it is saved.
    var pauseBeforeSaving: TimeAmount { max(self.nextSave - .now(), .zero) }

    /// Saves what was taken.
    func save() {
        let began = NIODeadline.now()
        // It writes all that is known; a hundredth of the time may go into that.
        defer { self.nextSave = .now() + max(.seconds(1), (.now() - began) * 100) }
        do {
            try self.cache.save(self.taken)
            self.cannotSave = false
        } catch {
            if !self.cannotSave {
                self.logger.warning(
                    "resources of the control plane cannot be saved; a restart while it is away would know none",
                    metadata: ["path": "\(self.cache.path)", "error": "\(error)"])
            }
            self.cannotSave = true
        }
    }

    /// Publishes what is known, and has the control plane asked for the rest.
    private func publish() async {
        let now = NIODeadline.now()
        if let savedFrom = self.savedFrom {
            if now < savedFrom {
                await self.ask()
                return
            }
            self.savedFrom = nil
            self.logger.notice(
                "the control plane does not answer yet; what it said last, to an earlier process, is good until it does",
                metadata: ["path": "\(self.cache.path)"])
        }
        self.names.use(self.state.wantedNames)
        let ports = self.state.knownPorts(at: now)
        let routes: ControlPlaneRoutes? =
            switch self.part.use {
            case .everything: self.maker.make(self.state, ports: ports)
            case .routes: self.maker.makeForServices(self.state)
            case .services, .externalHosts: self.maker.makeExternalHosts(self.state)
            }
        let used = self.state.usedClusters(at: now)
        self.tell(used)
        self.prepareTLS(used)
        let app = self.app
        self.routes = routes
        let waiting = self.state.waiting(used)
        if waiting != self.status.current.waiting { self.status.update { $0.waiting = waiting } }
        self.index()
        self.directory.publish(routes: routes) { builder in
            builder.indexed = self.indexed
            // Whoever has services elsewhere waits for nothing here.
            if self.part.use == .routes || self.part.use == .externalHosts { return }
            builder.isSynced = self.state.isSynced
            builder.isComplete = false
            builder.absences = self.state.absences(at: now)
            var known = Set(ports.map { ControlPlaneRoutes.demand(for: $0, app: app) })
            for service in self.state.foundServices(at: now) {
                guard let instances = self.instances(of: service, &builder) else { continue }
                known.insert(ServiceDemand(app: app, name: service.name))
                builder.add(service.name, instances, spansVersions: true)
            }
            for (cluster, members) in used where self.part.use == .everything {
                guard case .known(let assignment) = members,
                    let entries = self.entries(of: assignment, cluster)
                        ?? self.state.outgoing(cluster.name).flatMap({ self.entries(of: $0, cluster) })
                else { continue }
                known.insert(ServiceDemand(app: app, name: cluster.name))
                builder.addCluster(
                    cluster.name, entries,
                    localityWeights: cluster.weighsLocalities ? assignment?.localityWeights ?? [] : [],
                    overprovisioning: assignment?.overprovisioning ?? EndpointSet.usualOverprovisioning)
            }
            builder.known = known
        }
        await self.ask()
    }

    /// Makes the services that are found by the addresses of their endpoints: those alone that may be others.
    private func index() {
        guard self.part.isIndexing else { return }
        let news = self.state.takeIndexNews()
        if news.isEmpty { return }
        let known = self.indexed.filter { news.contains($0.name) }
        var builder = ServiceDirectoryBuilder(upon: ServiceDirectory(known, isSynced: true), ownApp: self.app)
        for name in news {
            guard let members = self.state.indexedMembers(of: name) else { continue }
            let instances = members.compactMap { member -> Instance? in
                guard let endpoint = try? builder.endpoint("rest://\(member.place)") else { return nil }
                return Instance(
                    id: member.place, version: member.version ?? "", app: self.app, status: .up, properties: [:],
                    endpoints: [endpoint], region: member.locality?.region ?? "", zone: member.locality?.zone ?? "")
            }
            builder.add(name, instances)
        }
        self.indexed = (self.indexed.filter { !news.contains($0.name) } + builder.added).sorted { $0.name < $1.name }
    }

    /// Has the control plane asked for what is used.
    private func ask() async {
        await self.client?.want(self.state.wantedEndpoints, of: .endpoints)
        await self.client?.want(self.state.wantedTables, of: .route)
    }

    /// The members with what rules may ask for: the labels and the name of their subset, and as version that of these labels, or
    /// of the workload, or else the name; `nil` while a name is being looked up.
    private func instances(
        of service: IstioState.FoundService, _ builder: inout ServiceDirectoryBuilder
    ) -> [Instance]? {
        var instances: [Instance] = []
        for member in service.members.members {
            guard let places = self.places(of: member) else { return nil }
            let subset = service.subsets[member.place]
            var properties = subset.flatMap { service.labels[$0] } ?? [:]
            let version = properties.removeValue(forKey: "version") ?? member.version ?? subset ?? ""
            properties["subset"] = subset
            for place in places {
                guard let endpoint = try? builder.endpoint("\(service.isHTTP2 ? "grpc" : "rest")://\(place)") else {
                    continue
                }
                instances.append(
                    Instance(
                        id: place, version: version, app: self.app,
                        status: member.condition == .unhealthy ? .down : .up,
                        properties: properties, endpoints: [endpoint],
                        region: member.locality?.region ?? "", zone: member.locality?.zone ?? ""))
            }
        }
        return instances
    }

    /// Where a member is: one place for each address of its name; `nil` while that is being looked up.
    private func places(of member: HeldAssignment.Member) -> [String]? {
        guard let name = member.name else { return [member.place] }
        return self.names[name]?.map { "\($0.asHost):\(member.port)" }
    }

    /// The members at their addresses; `nil` while a name is being looked up.
    private func entries(of assignment: HeldAssignment?, _ cluster: HeldCluster) -> [ClusterEntry]? {
        let settings = cluster.settings
        let scheme = settings.isHTTP2 ? "grpc" : "rest"
        // As Envoy has it.
        let isWeighted = settings.strategy != .random
        var entries: [ClusterEntry] = []
        for member in assignment?.members ?? [] {
            guard let places = self.places(of: member) else { return nil }
            entries += places.map { place in
                ClusterEntry(
                    "\(scheme)://\(place)", weight: isWeighted ? member.weight : 1, priority: member.priority,
                    isPlain: settings.tls != nil && cluster.transport.tls(for: member.labels) == nil,
                    locality: member.locality, host: member.host, condition: member.condition)
            }
        }
        return entries
    }

    /// Has what TLS to endpoints needs made before an event loop looks for it.
    private func prepareTLS(_ used: [(cluster: HeldCluster, members: IstioState.Members)]) {
        if self.part.use == .services, used.contains(where: { Self.wantsTLS($0.cluster, $0.members) }) {
            self.tell([
                "TLS to services whose routes are those of files: they are called as tls.yaml says, else in plain text"
            ])
        }
        guard self.part.use == .everything else { return }
        var needed = Set(used.compactMap { $0.cluster.transport.tls?.credentials })
        if !self.secrets.hasIdentity, needed.remove(.identity) != nil {
            self.tell(["mutual TLS: this workload has no identity, and calls in plain text"])
        }
        for problem in self.secrets.use(needed) {
            self.logger.warning(
                "TLS that Istio asks for cannot be spoken until its files are better",
                metadata: ["problem": "\(problem.problem)", "remedy": "\(problem.remedy)"])
        }
    }

    /// Whether endpoints want TLS.
    private static func wantsTLS(_ cluster: HeldCluster, _ members: IstioState.Members) -> Bool {
        guard case .known(let assignment?) = members else { return false }
        return assignment.members.contains { cluster.transport.tls(for: $0.labels) != nil }
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
            self.status.update { if $0.notDone.count < Self.mostShown { $0.notDone.append(gap) } }
        }
    }
}
