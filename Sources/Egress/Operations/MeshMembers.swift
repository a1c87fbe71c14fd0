// SPDX-License-Identifier: Apache-2.0

import Common
import Proxy

/// Who answers the requests for a name, whatever it is a name of: a service of a registry, a cluster of a control plane, a host
/// or a cluster of `mesh.yaml`.
struct MeshMembers: Sendable {
    /// One instance, at all of its addresses.
    struct Member {
        /// What its instances may take each other's place in: the service, or the cluster.
        let group: String
        let endpoints: [Endpoint]
        let version: String
        let app: String
        /// Whether it gets requests by what its registry says.
        let isEligible: Bool

        /// - Parameter address: `ip:port` of any of its endpoints.
        func isAt(_ address: String, _ app: String?) -> Bool {
            self.isOf(app) && self.endpoints.contains { $0.hostAndPort == address }
        }

        func isOf(_ app: String?) -> Bool { app == nil || self.app.isEmpty || self.app == app }

        func isAlike(_ other: Self) -> Bool {
            self.group == other.group && self.version == other.version && self.app == other.app
        }
    }

    private let governance: Governance

    init(_ governance: Governance) { self.governance = governance }

    /// All of them; `nil` when nobody has the name.
    func all(of name: String, in mesh: Mesh) -> [Member]? {
        var members: [Member] = []
        var services: Set<ObjectIdentifier> = []
        var clusters: Set<Cluster> = []
        func add(_ service: Service) {
            guard services.insert(ObjectIdentifier(service)).inserted else { return }
            members += service.instances.map { instance in
                Member(
                    group: service.name, endpoints: instance.endpoints,
                    version: service.spansVersions ? "" : instance.version, app: instance.app,
                    isEligible: instance.status.isEligible)
            }
        }
        func add(_ cluster: Cluster) {
            guard clusters.insert(cluster).inserted else { return }
            switch cluster.members {
            case .own, .requested: break
            case .service(let other, _): if let service = mesh.services[other] { add(service) }
            case .fixed:
                members += self.governance.endpoints(writtenIn: cluster).map {
                    Member(group: cluster.name ?? "", endpoints: [$0], version: "", app: "", isEligible: true)
                }
            }
        }
        var isKnown = false
        if let service = mesh.services[name] {
            isKnown = true
            add(service)
        }
        let routes = mesh.rules.routes
        for (key, host) in routes.hosts {
            let isMeant = key == name || host.service == name
            isKnown = isKnown || isMeant
            for cluster in host.clusters where isMeant || cluster.name == name {
                isKnown = true
                add(cluster)
            }
        }
        return isKnown ? members : nil
    }
}

/// The members of the names that are asked for, by address: found once for each name, however many addresses are asked for.
struct MemberLookup {
    private let members: MeshMembers
    private let mesh: Mesh
    private var known: [String: [String: [MeshMembers.Member]]] = [:]

    init(_ members: MeshMembers, _ mesh: Mesh) {
        self.members = members
        self.mesh = mesh
    }

    /// - Parameter address: `ip:port` of any of their endpoints.
    mutating func members(of name: String, at address: String) -> [MeshMembers.Member] {
        if let known = self.known[name] { return known[address] ?? [] }
        var found: [String: [MeshMembers.Member]] = [:]
        for member in self.members.all(of: name, in: self.mesh) ?? [] {
            for address in Set(member.endpoints.map(\.hostAndPort)) { found[address, default: []].append(member) }
        }
        self.known[name] = found
        return found[address] ?? []
    }
}

extension Endpoint {
    /// `ip:port`, or `[ip]:port`.
    var hostAndPort: String { "\(self.host.asHost):\(self.port)" }
}
