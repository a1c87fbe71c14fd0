// SPDX-License-Identifier: Apache-2.0

import Common

/// What is made of what is held.
extension IstioState {
    /// The hosts outside the mesh that may be called: those whose names, looked up, lead where they are, and those with
    /// endpoints of their own, as soon as these are known.
    var externalHosts: [ExternalHosts.Rule] {
        let ports = self.clusters.values.reduce(into: [String: [UInt16: ExternalHosts.Port]]()) { ports, cluster in
            guard let (key, place) = cluster.externalHost(in: self.place) else { return }
            var places: [ExternalHosts.Place]?
            switch place {
            case .name: break
            case .members(let assignment): places = assignment.placesOfFirst
            case .assignments(let name):
                guard let assignment = self.assignments[name] else { return }
                places = assignment.placesOfFirst
            }
            // Clusters do not say what is spoken; nobody speaks plain HTTP there.
            ports[key.host.lowercased(), default: [:]][key.port] = ExternalHosts.Port(
                key.port, protocolName: key.port == 443 ? "HTTPS" : "HTTP", places: places,
                besides: places == nil ? nil : "\(key.host):\(key.port)")
        }
        return ports.sorted { $0.key < $1.key }.filter { ExternalHosts.isHost($0.key) }.map { host, ports in
            ExternalHosts.Rule(host, ports.sorted { $0.key < $1.key }.map(\.value))
        }
    }

    /// The names of the endpoints of hosts outside the mesh.
    var externalSources: Set<String> {
        self.clusters.values.reduce(into: []) { names, cluster in
            if case .assignments(let name)? = cluster.externalHost(in: self.place)?.place { names.insert(name) }
        }
    }

    /// Whether something of this name is held.
    func holds(_ name: String, _ kind: ResourceKind) -> Bool {
        switch kind {
        case .cluster: self.clusters[name] != nil
        case .endpoints: self.assignments[name] != nil
        case .route: self.tables[name] != nil
        }
    }

    /// All subsets.
    var subsetKeys: Set<ClusterName> {
        Set(self.clusters.values.lazy.compactMap(\.key).filter { !$0.subset.isEmpty })
    }

    /// What instances of a subset are told by: its labels, or else the version that all of its endpoints have, or else the
    /// name as a version.
    func tags(of key: ClusterName) -> (version: String, properties: [String: String]) {
        if key.subset.isEmpty { return ("", [:]) }
        if var labels = self.labels[key] {
            let version = labels.removeValue(forKey: "version") ?? ""
            return (version, labels)
        }
        if case .assignments(let source)? = self.clusters[key.text]?.source,
            let version = self.assignments[source]?.sharedVersion
        {
            return (version, [:])
        }
        return (key.subset, [:])
    }

    /// The endpoints of a service by what callers are known as; `nil` for one of which none are known.
    func indexedMembers(of service: String) -> [HeldAssignment.Member]? {
        let known = (self.indexSources[service] ?? []).compactMap { self.assignments[$0] }
        if known.isEmpty { return nil }
        // At several ports it has the same addresses.
        let members = known.reduce(into: [String: HeldAssignment.Member]()) { all, assignment in
            for member in assignment.members { all[member.place] = member }
        }
        return members.sorted { $0.key < $1.key }.map(\.value)
    }
}

extension HeldAssignment {
    /// Where the endpoints are that serve first.
    fileprivate var placesOfFirst: [ExternalHosts.Place] {
        let serving = self.members.filter { $0.condition != .unhealthy }
        let first = serving.map(\.priority).min()
        return serving.filter { $0.priority == first }.map { member in
            let host = member.name ?? String(member.place.dropLast(":\(member.port)".count))
            let bare = host.hasPrefix("[") ? String(host.dropFirst().dropLast()) : host
            return ExternalHosts.Place(bare.lowercased(), UInt16(clamping: member.port), weight: max(1, member.weight))
        }
    }
}
