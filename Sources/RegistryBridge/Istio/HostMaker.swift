// SPDX-License-Identifier: Apache-2.0

import Common
import IstioMessages

/// Makes virtual hosts of what the control plane says, keeping those of which nothing has changed.
struct HostMaker {
    private struct Made {
        let held: HeldHost
        /// Those that the routes lead to, as they were.
        let clusters: [String: HeldCluster]
        let host: VirtualHost
    }

    private var made: [String: Made] = [:]
    private var last: ControlPlaneRoutes?
    /// What instances are told by that clusters stand for, by the service and the cluster's name.
    private var tags: [String: [String: InstanceTags]] = [:]
    /// Which state that was made of.
    private var revision = -1
    private let app: String
    private let hasIdentity: Bool
    private let tellsExternalHosts: Bool
    private var number = 0

    /// - Parameter hasIdentity: Whether mutual TLS can be spoken.
    /// - Parameter tellsExternalHosts: Whether to say which external hosts there are.
    init(app: String, hasIdentity: Bool = false, tellsExternalHosts: Bool = false) {
        self.app = app
        self.hasIdentity = hasIdentity
        self.tellsExternalHosts = tellsExternalHosts
    }

    /// The hosts of all tables, as requests find them.
    mutating func make(_ state: IstioState, ports: Set<UInt16>) -> ControlPlaneRoutes {
        // Endpoints change more often than routes, and concern none.
        if let last = self.last, last.ports == ports, self.revision == state.revision { return last }
        self.revision = state.revision
        var hosts: [String: VirtualHost] = [:]
        var domains: [DomainTable.Domain] = []
        var kept: [String: Made] = [:]
        // The table of a port before those of single services at it.
        let tables = state.tables.values.sorted { ($0.name.utf8.count, $0.name) < ($1.name.utf8.count, $1.name) }
        for table in tables {
            for held in table.hosts.values.sorted(by: { $0.message.name < $1.message.name }) {
                // The catch-all hosts of all tables have one name.
                let isFree = hosts[held.message.name] == nil
                let name = isFree ? held.message.name : "\(held.message.name) of \(table.name)"
                let used = held.clusters.reduce(into: [:]) { $0[$1] = state.clusters[$1] }
                let known = self.made[name]
                let host: Made
                if let known, known.held === held, known.clusters == used {
                    host = known
                } else {
                    host = Made(held: held, clusters: used, host: self.virtualHost(held, used))
                }
                kept[name] = host
                hosts[name] = host.host
                domains += held.domains.map { DomainTable.Domain($0, port: table.port, host: name) }
            }
        }
        self.made = kept
        // Rules, and all that event loops have made of them, are renewed for another object only.
        let servedPorts = ports.intersection(state.servedPorts)
        let external = self.external(state)
        if let last = self.last, last.ports == ports, last.servedPorts == servedPorts, last.domains.domains == domains,
            last.hosts.count == hosts.count, hosts.allSatisfy({ last.hosts[$0.key] === $0.value }),
            last.external == external
        {
            return last
        }
        let routes = ControlPlaneRoutes(
            hosts, domains: DomainTable(domains), ports: ports, servedPorts: servedPorts, external: external)
        self.last = routes
        return routes
    }

    /// The routes of services that come from elsewhere: of those of a host at several ports the ones at the lowest.
    mutating func makeForServices(_ state: IstioState) -> ControlPlaneRoutes {
        if let last = self.last, self.revision == state.revision { return last }
        self.revision = state.revision
        let namings = self.tags
        self.tags = [:]
        var services: [String: VirtualHost] = [:]
        var kept: [String: Made] = [:]
        for table in state.tables.values.sorted(by: { ($0.port ?? 0, $0.name) < ($1.port ?? 0, $1.name) }) {
            for held in table.hosts.values where held.isOfService && services[held.label] == nil {
                let host: Made
                let tags = held.clusters.reduce(into: [String: InstanceTags]()) { tags, name in
                    tags[name] = ClusterName(name).map { key in
                        let (version, properties) = state.tags(of: key)
                        return InstanceTags(version: version, properties: properties)
                    }
                }
                self.tags[held.label] = tags
                if let known = self.made[held.label], known.held === held, namings[held.label] == tags {
                    host = known
                } else {
                    self.number += 1
                    let routes = held.routes.map { route, names in
                        (route, names.map { Self.cluster($0, tags[$0], of: held, state.place) })
                    }
                    host = Made(
                        held: held, clusters: [:],
                        host: VirtualHost(routes, unmatched: .notFound, plain: "\(self.number)"))
                }
                kept[held.label] = host
                services[held.label] = host.host
            }
        }
        self.made = kept
        let external = self.external(state)
        if let last = self.last, last.services.count == services.count,
            services.allSatisfy({ last.services[$0.key] === $0.value }), last.external == external
        {
            return last
        }
        let routes = ControlPlaneRoutes(ofServices: services, external: external)
        self.last = routes
        return routes
    }

    /// The external hosts and nothing else; `nil` where they are not asked for.
    mutating func makeExternalHosts(_ state: IstioState) -> ControlPlaneRoutes? {
        if let last = self.last, self.revision == state.revision { return last }
        self.revision = state.revision
        guard let external = self.external(state) else { return nil }
        if let last = self.last, last.external == external { return last }
        let routes = ControlPlaneRoutes(ofServices: [:], external: external)
        self.last = routes
        return routes
    }

    /// Nothing may be called before the control plane has said so.
    private func external(_ state: IstioState) -> [ExternalHosts.Rule]? {
        self.tellsExternalHosts ? state.externalHosts : nil
    }

    /// The instances of a subset.
    private static func cluster(
        _ name: String, _ tags: InstanceTags?, of host: HeldHost, _ place: MeshPlace
    ) -> Cluster {
        guard let key = ClusterName(name), let tags else { return Cluster(name: name, .fixed([])) }
        let service = place.label(of: key.host)
        return service == host.label ? Cluster(tags) : Cluster(name: name, .service(service, tags))
    }

    private mutating func virtualHost(_ held: HeldHost, _ clusters: [String: HeldCluster]) -> VirtualHost {
        self.number += 1
        let routes = held.routes.map { route, names in
            (route, names.map { name in self.cluster(name, clusters[name]) })
        }
        return VirtualHost(
            routes, unmatched: .notFound, profile: .envoy, service: held.label, plain: "\(self.number)")
    }

    private func cluster(_ name: String, _ held: HeldCluster?) -> Cluster {
        if case .request? = held?.source {
            return Cluster(name: name, .requested(ExternalHosts.Rule("*", [])), settings: held?.settings)
        }
        let version = ClusterName(name)?.subset ?? ""
        var settings = held?.settings
        // As permissive workloads take it.
        if !self.hasIdentity, held?.transport.tls?.credentials == .identity { settings?.tls = nil }
        return Cluster(name: name, .service(name, InstanceTags(version: version, app: self.app)), settings: settings)
    }
}
