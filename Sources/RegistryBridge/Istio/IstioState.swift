// SPDX-License-Identifier: Apache-2.0

import Common
import IstioMessages
import SwiftProtobuf
import NIOCore

/// What a sidecar holds of the control plane's resources, and what it wants to know of them: no input, no output, no clock.
///
/// Clusters are told whole. Tables of routes and the endpoints of clusters are asked for as long as requests use them.
struct IstioState {
    /// How long something is asked for after it was used last.
    static let patience = TimeAmount.minutes(10)
    /// How long endpoints are waited for before their cluster counts as empty.
    static let warming = TimeAmount.seconds(15)
    /// Most names that are remembered as no names of the mesh.
    private static let mostAbsent = 1_000
    /// Most tables of single services that are asked for beside that of a port.
    private static let mostSniffed = 1_000

    let place: MeshPlace
    private let use: RegistryConfig.IstioUse
    private let isIndexing: Bool
    private let tellsExternalHosts: Bool
    /// The names of endpoints that are asked for although no request uses them: of all services, when it is to be known who is
    /// at each address; of subsets, where their versions have to be known; of hosts outside the mesh, where these are told.
    private var indexed: Set<String> = []
    /// Of these, those of hosts outside the mesh.
    private var external: Set<String> = []
    /// By what callers are known as, the names of the endpoints of a service; empty unless it is to be known who is where.
    private(set) var indexSources: [String: Set<String>] = [:]
    /// The same the other way round.
    private var indexOwners: [String: String] = [:]
    /// Of these services, those that may have other endpoints since somebody has looked.
    private var indexNews: Set<String> = []
    private(set) var clusters: [String: HeldCluster] = [:]
    /// The clusters of each port, one for each host.
    private var hosts: [UInt16: Set<String>] = [:]
    private(set) var assignments: [String: HeldAssignment] = [:]
    private(set) var tables: [String: HeldTable] = [:]
    /// What subsets select by, as far as it is known.
    private(set) var labels = SubsetTable()
    /// Another number whenever clusters or tables may be others.
    private(set) var revision = 0
    /// By port, the names of tables that hosts have for themselves; found again with each revision.
    private var ownTables: [UInt16: Set<String>] = [:]
    /// Whether the clusters have been told.
    private(set) var isSynced = false

    /// When something was used last, and since when what it needs is asked for.
    private struct Use {
        var last: NIODeadline
        var since: NIODeadline
    }

    /// Ports that were asked for, or a host of whose tables was used.
    private var ports: [UInt16: Use] = [:]
    /// Clusters that were asked for.
    private var used: [String: Use] = [:]
    /// The members of used clusters whose members come from elsewhere now, as long as those are not known.
    private var outgoing: [String: HeldAssignment] = [:]
    /// Names that requests have asked for, and that are none of the mesh.
    private var absent: [ServiceDemand: NIODeadline] = [:]
    private let app: String
    /// Names of services that were asked for, where another one says what becomes of requests.
    private var services: Set<String> = []
    /// The subsets of a service at a port, likewise.
    private var subsets: [ClusterName: [String]] = [:]

    init(
        _ place: MeshPlace, app: String, use: RegistryConfig.IstioUse = .everything, isIndexing: Bool = false,
        tellsExternalHosts: Bool = false
    ) {
        self.place = place
        self.isIndexing = isIndexing
        self.tellsExternalHosts = tellsExternalHosts
        self.app = app
        self.use = use
    }

    // MARK: What is wanted

    /// A request asks for something.
    mutating func want(_ demand: ServiceDemand, at now: NIODeadline) {
        if self.use == .services, self.wantService(demand.name, at: now) {
            self.services.insert(demand.name)
        } else if let port = ControlPlaneRoutes.port(of: demand) {
            self.use(port, at: now)
        } else if self.clusters[demand.name] != nil {
            self.use(demand.name, at: now)
        } else if self.isSynced {
            if self.absent.count >= Self.mostAbsent { self.absent.removeAll() }
            self.absent[demand] = now + .seconds(10)
        }
    }

    /// - Returns: Whether there is such a service.
    private mutating func wantService(_ name: String, at now: NIODeadline) -> Bool {
        guard let (whole, subsets) = self.clusters(ofService: name) else { return false }
        for cluster in [whole] + subsets.map(\.cluster) { self.use(cluster, at: now) }
        return true
    }

    /// The cluster of all endpoints of a service, at port 80 or else its lowest, and those of its subsets.
    private func clusters(ofService name: String) -> (whole: String, subsets: [(name: String, cluster: String)])? {
        for host in self.place.hosts(of: name) {
            let ports = self.hosts.filter { $0.value.contains(host) }.keys
            guard let port = ports.contains(80) ? 80 : ports.min() else { continue }
            let key = ClusterName(port: port, subset: "", host: host)
            guard self.clusters[key.text] != nil else { continue }
            let subsets = (self.subsets[key] ?? []).sorted()
            return (key.text, subsets.map { ($0, ClusterName(port: port, subset: $0, host: host).text) })
        }
        return nil
    }

    /// This table was used by an earlier process.
    mutating func want(table name: String, at now: NIODeadline) {
        guard let port = name.split(separator: ":").last.flatMap({ UInt16($0) }) else { return }
        self.use(port, at: now)
        // That of one service is asked for when that of the port lacks it, which is not known yet.
        if name != "\(port)" { self.ownTables[port, default: []].insert(name) }
    }

    /// These endpoints were used by an earlier process.
    mutating func want(endpoints names: some Collection<String>, at now: NIODeadline) {
        let names = Set(names)
        for cluster in self.clusters.values {
            if case .assignments(let name) = cluster.source, names.contains(name) { self.use(cluster.name, at: now) }
        }
    }

    private mutating func use(_ port: UInt16, at now: NIODeadline) {
        self.ports[port] = Use(last: now, since: self.ports[port]?.since ?? now)
    }

    private mutating func use(_ cluster: String, at now: NIODeadline) {
        self.used[cluster] = Use(last: now, since: self.used[cluster]?.since ?? now)
    }

    /// Requests have used these virtual hosts and clusters.
    mutating func note(hosts: [String], clusters: [String], at now: NIODeadline) {
        for name in hosts {
            guard let port = self.tables.values.first(where: { $0.hosts[name] != nil })?.port else { continue }
            self.use(port, at: now)
            // So that the endpoints of a route that was not taken lately are there when it is.
            for cluster in self.clusterNames(of: name) { self.use(cluster, at: now) }
        }
        for cluster in clusters {
            if self.services.contains(cluster) {
                _ = self.wantService(cluster, at: now)
            } else {
                self.use(cluster, at: now)
            }
        }
    }

    private func clusterNames(of host: String) -> Set<String> {
        self.tables.values.reduce(into: []) { names, table in
            if let host = table.hosts[host] { names.formUnion(host.clusters) }
        }
    }

    /// Forgets what was not used for long.
    mutating func forget(at now: NIODeadline) {
        // Nobody asks for the routes of services that come from elsewhere.
        if self.use != .routes { self.ports = self.ports.filter { now - $0.value.last < Self.patience } }
        self.used = self.used.filter { now - $0.value.last < Self.patience && self.clusters[$0.key] != nil }
        self.absent = self.absent.filter { now < $0.value }
        self.services = self.services.filter { name in
            self.clusters(ofService: name).map { self.used[$0.whole] != nil } ?? false
        }
        self.outgoing = self.outgoing.filter { name, _ in
            self.used[name].map { now - $0.since < Self.warming } ?? false
        }
        let (tables, endpoints) = (self.wantedTables, self.wantedEndpoints)
        if self.tables.contains(where: { !tables.contains($0.key) }) {
            self.tables = self.tables.filter { tables.contains($0.key) }
            self.renew()
        }
        self.assignments = self.assignments.filter { endpoints.contains($0.key) }
    }

    /// The tables that are asked for: that of each port, and those of hosts that it has none of, since Istio has tables of
    /// their own for services whose protocol nobody has said.
    var wantedTables: Set<String> {
        if self.use == .services || self.use == .externalHosts { return [] }
        return self.ports.keys.reduce(into: []) { names, port in
            guard let hosts = self.hosts[port], !hosts.isEmpty else { return }
            names.insert("\(port)")
            if let own = self.ownTables[port] { names.formUnion(own) }
        }
    }

    /// Clusters or tables are others: whoever has made something of them makes it anew.
    private mutating func renew() {
        self.revision += 1
        self.ownTables = self.tables.values.reduce(into: [:]) { own, table in
            guard let port = table.port, table.name == "\(port)", let hosts = self.hosts[port] else { return }
            let names = hosts.lazy.map { "\($0):\(port)" }.filter { table.hosts[$0] == nil }
            let found = Set(names)
            if found.count <= Self.mostSniffed { own[port] = found }
        }
    }

    /// The names of the endpoints that are asked for.
    var wantedEndpoints: Set<String> {
        self.used.keys.reduce(into: self.indexed) { names, cluster in
            if case .assignments(let name)? = self.clusters[cluster]?.source { names.insert(name) }
        }
    }

    /// The names that have to be looked up.
    var wantedNames: Set<String> {
        self.used.keys.reduce(into: []) { names, cluster in
            if case .written(let assignment)? = self.clusters[cluster]?.source {
                names.formUnion(assignment.members.compactMap(\.name))
            }
            names.formUnion(self.outgoing[cluster]?.members.compactMap(\.name) ?? [])
        }
    }

    // MARK: What is said

    /// Takes clusters.
    ///
    /// - Parameter isWhole: Whether all others are gone.
    /// - Returns: Those that cannot be used.
    mutating func take(
        clusters: [ResourceUpdate.Resource], removed: [String], isWhole: Bool, at now: NIODeadline
    ) -> [ResourceRefusal] {
        let (before, tables) = (self.clusters, self.wantedTables)
        var isWhole = isWhole
        let removed = Set(removed)
        var refusals: [ResourceRefusal] = []
        var named: Set<String> = []
        for resource in clusters {
            do throws(ResourceMistake) {
                let cluster = try HeldCluster(try resource.read(XDSCluster.self, .cluster))
                guard !cluster.name.isEmpty else { throw ResourceMistake("it has no name") }
                guard named.insert(cluster.name).inserted else { throw ResourceMistake("it is there twice") }
                guard !removed.contains(cluster.name) else { throw ResourceMistake("it is there and removed") }
                self.clusters[cluster.name] = cluster
            } catch {
                // What was known of it stands.
                if let name = resource.knownName { named.insert(name) } else { isWhole = false }
                refusals.append(ResourceRefusal(name: resource.refusedName, reason: error.reason))
            }
        }
        for name in removed where !named.contains(name) { self.clusters[name] = nil }
        if isWhole { self.clusters = self.clusters.filter { named.contains($0.key) } }
        self.hosts = self.clusters.values.reduce(into: [:]) { hosts, cluster in
            if let key = cluster.key { hosts[key.port, default: []].insert(key.host) }
        }
        switch self.use {
        case .everything, .externalHosts: break
        case .routes: for port in self.hosts.keys { self.use(port, at: now) }
        case .services:
            self.subsets = self.clusters.values.reduce(into: [:]) { subsets, cluster in
                guard let key = cluster.key, !key.subset.isEmpty else { return }
                subsets[ClusterName(port: key.port, subset: "", host: key.host), default: []].append(key.subset)
            }
            for name in self.services { _ = self.wantService(name, at: now) }
        }
        self.index()
        self.isSynced = true
        self.absent.removeAll()
        self.renew()
        self.warm(upon: before, tables, at: now)
        return refusals
    }

    /// What is asked for from now on is waited for from now on, and what it takes the place of serves until it is there.
    private mutating func warm(upon before: [String: HeldCluster], _ tables: Set<String>, at now: NIODeadline) {
        for table in self.wantedTables.subtracting(tables) {
            if let port = HeldTable.port(of: table) { self.ports[port]?.since = now }
        }
        for name in self.used.keys where self.clusters[name]?.source != before[name]?.source {
            let members = before[name].flatMap { self.members(of: $0) } ?? self.outgoing[name]
            self.outgoing[name] = self.clusters[name] == nil ? nil : members
            self.used[name]?.since = now
        }
        self.warmed()
    }

    /// Forgets members in whose place others are known.
    private mutating func warmed() {
        self.outgoing = self.outgoing.filter { name, _ in
            guard case .assignments(let source)? = self.clusters[name]?.source else { return true }
            return self.assignments[source] == nil
        }
    }

    private func members(of cluster: HeldCluster) -> HeldAssignment? {
        switch cluster.source {
        case .assignments(let name): self.assignments[name]
        case .written(let assignment): assignment
        case .request: nil
        }
    }

    /// Finds out which endpoints are asked for besides those that requests use.
    private mutating func index() {
        if self.tellsExternalHosts { self.external = self.externalSources }
        self.indexed = self.external
        guard self.isIndexing || self.use == .routes else { return }
        var sources: [String: Set<String>] = [:]
        for cluster in self.clusters.values {
            guard let key = cluster.key, case .assignments(let name) = cluster.source else { continue }
            let isNeeded = self.use == .routes ? !key.subset.isEmpty && self.labels[key] == nil : key.subset.isEmpty
            guard isNeeded else { continue }
            self.indexed.insert(name)
            if self.isIndexing { sources[self.place.label(of: key.host), default: []].insert(name) }
        }
        guard sources != self.indexSources else { return }
        for service in Set(sources.keys).union(self.indexSources.keys)
        where sources[service] != self.indexSources[service] {
            self.indexNews.insert(service)
        }
        self.indexSources = sources
        self.indexOwners = sources.reduce(into: [:]) { owners, service in
            for name in service.value { owners[name] = service.key }
        }
    }

    /// The services that may have other endpoints since this was asked last.
    mutating func takeIndexNews() -> Set<String> {
        let news = self.indexNews
        self.indexNews = []
        return news
    }

    /// Takes the endpoints of clusters.
    ///
    /// - Parameter removed: Nobody need wait for these; those that are known stay, as a control plane takes away endpoints
    ///   with their cluster, or says that there are none.
    mutating func take(assignments: [ResourceUpdate.Resource], removed: [String]) -> [ResourceRefusal] {
        var refusals: [ResourceRefusal] = []
        let wanted = self.wantedEndpoints
        var named: Set<String> = []
        for resource in assignments {
            do throws(ResourceMistake) {
                let message = try resource.read(XDSClusterLoadAssignment.self, .endpoints)
                guard !message.clusterName.isEmpty else { throw ResourceMistake("it has no cluster_name") }
                guard named.insert(message.clusterName).inserted else { throw ResourceMistake("it is there twice") }
                let held = try HeldAssignment(message)
                guard wanted.contains(message.clusterName) else { continue }
                let old = self.assignments.updateValue(held, forKey: message.clusterName)
                if let service = self.indexOwners[message.clusterName], old?.members != held.members {
                    self.indexNews.insert(service)
                }
                if self.external.contains(message.clusterName), old?.members != held.members { self.revision += 1 }
                // Routes lead to versions.
                if self.use == .routes, old?.sharedVersion != held.sharedVersion { self.revision += 1 }
            } catch {
                refusals.append(
                    ResourceRefusal(name: resource.refusedName, reason: error.reason))
            }
        }
        for name in removed where wanted.contains(name) && self.assignments[name] == nil {
            self.assignments[name] = .empty
        }
        self.warmed()
        return refusals
    }

    /// Takes what subsets select by.
    mutating func take(labels: SubsetTable) {
        guard labels != self.labels else { return }
        self.labels = labels
        self.index()
        self.revision += 1
    }

    /// Takes tables of routes.
    ///
    /// - Parameter removed: Nobody need wait for these; those that are known stay, as in Envoy.
    mutating func take(tables: [ResourceUpdate.Resource], removed: [String]) -> [ResourceRefusal] {
        var refusals: [ResourceRefusal] = []
        let wanted = self.wantedTables
        var named: Set<String> = []
        for resource in tables {
            do throws(ResourceMistake) {
                let message = try resource.read(XDSRouteConfiguration.self, .route)
                guard !message.name.isEmpty else { throw ResourceMistake("it has no name") }
                guard named.insert(message.name).inserted else { throw ResourceMistake("it is there twice") }
                let table = try HeldTable(message, self.place, upon: self.tables[message.name])
                if message.validateClusters.value { try self.checkClusters(of: table) }
                if wanted.contains(table.name) { self.tables[table.name] = table }
            } catch {
                refusals.append(
                    ResourceRefusal(name: resource.refusedName, reason: error.reason))
            }
        }
        for name in removed where wanted.contains(name) && self.tables[name] == nil {
            self.tables[name] = HeldTable(empty: name)
        }
        self.renew()
        return refusals
    }

    /// That a table leads to no cluster that is not there, where it asks for that.
    private func checkClusters(of table: HeldTable) throws(ResourceMistake) {
        for name in table.hosts.values.flatMap(\.clusters).sorted() where self.clusters[name] == nil {
            throw ResourceMistake("there is no cluster \(name)")
        }
    }

    // MARK: What is known

    /// The ports about whose routes nothing more will be said.
    func knownPorts(at now: NIODeadline) -> Set<UInt16> {
        guard self.isSynced else { return [] }
        let wanted = self.wantedTables
        return Set(
            self.ports.lazy.filter { port, use in
                if self.hosts[port] == nil || now - use.since >= Self.warming { return true }
                return self.tables["\(port)"] != nil
                    && wanted.allSatisfy { !$0.hasSuffix(":\(port)") || self.tables[$0] != nil }
            }.map(\.key))
    }

    /// The ports that services have.
    var servedPorts: Set<UInt16> { Set(self.hosts.keys) }

    /// The members of a cluster that is used.
    enum Members {
        /// They are still being asked for.
        case pending
        case known(HeldAssignment?)
    }

    /// The clusters that are used, by name.
    func usedClusters(at now: NIODeadline) -> [(cluster: HeldCluster, members: Members)] {
        self.used.sorted { $0.key < $1.key }.compactMap { name, use in
            guard let cluster = self.clusters[name] else { return nil }
            switch cluster.source {
            case .assignments(let name):
                if let assignment = self.assignments[name] ?? self.outgoing[cluster.name] {
                    return (cluster, .known(assignment))
                }
                return (cluster, now - use.since >= Self.warming ? .known(nil) : .pending)
            case .written(let assignment): return (cluster, .known(assignment))
            case .request: return (cluster, .known(nil))
            }
        }
    }

    /// A service, where another one says what becomes of requests.
    struct FoundService {
        let name: String
        let members: HeldAssignment
        /// The names of subsets, by the place of a member.
        let subsets: [String: String]
        /// What the subsets select by, by their names, as far as it is known.
        let labels: [String: [String: String]]
        let isHTTP2: Bool
    }

    /// The services that were asked for, and of which nothing has to be waited for.
    func foundServices(at now: NIODeadline) -> [FoundService] {
        let used = Dictionary(
            self.usedClusters(at: now).map { ($0.cluster.name, $0.members) }, uniquingKeysWith: { $1 })
        return self.services.sorted().compactMap { name in
            guard let (whole, subsets) = self.clusters(ofService: name), case .known(let members)? = used[whole] else {
                return nil
            }
            var places: [String: String] = [:]
            var labels: [String: [String: String]] = [:]
            for (subset, cluster) in subsets {
                labels[subset] = ClusterName(cluster).flatMap { self.labels[$0] }
                guard case .known(let some)? = used[cluster] else { return nil }
                for member in some?.members ?? [] where places[member.place] == nil { places[member.place] = subset }
            }
            return FoundService(
                name: name, members: members ?? .empty, subsets: places, labels: labels,
                isHTTP2: self.clusters[whole]?.settings.isHTTP2 ?? false)
        }
    }

    /// What was asked for and not told yet, for those who look; a hundred names at most.
    func waiting(_ used: [(cluster: HeldCluster, members: Members)]) -> [String] {
        let clusters = used.lazy.filter { if case .pending = $0.members { true } else { false } }.map(\.cluster.name)
        let tables = self.wantedTables.lazy.filter { self.tables[$0] == nil }
        return Array((Array(clusters.prefix(100)) + tables.prefix(100)).sorted().prefix(100))
    }

    /// The members that serve in place of those of a cluster that are not known yet.
    func outgoing(_ cluster: String) -> HeldAssignment? { self.outgoing[cluster] }

    /// What the registry was asked for in vain.
    func absences(at now: NIODeadline) -> [ServiceDemand: ServiceDirectory.Absence] {
        self.absent.mapValues { ServiceDirectory.Absence(.unknown, until: $0) }
    }
}
