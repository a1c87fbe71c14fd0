// SPDX-License-Identifier: Apache-2.0

import Common

/// What is made of what is held.
extension IstioState {
    /// The hosts outside the mesh that may be called: whose names, looked up, lead where they are.
    var externalHosts: [ExternalHosts.Rule] {
        let ports = self.clusters.values.reduce(into: [String: Set<UInt16>]()) { ports, cluster in
            guard let key = cluster.externalHost(in: self.place) else { return }
            ports[key.host.lowercased(), default: []].insert(key.port)
        }
        return ports.sorted { $0.key < $1.key }.filter { ExternalHosts.isHost($0.key) }.map { host, ports in
            // Clusters do not say what is spoken; nobody speaks plain HTTP there.
            ExternalHosts.Rule(
                host, ports.sorted().map { ExternalHosts.Port($0, protocolName: $0 == 443 ? "HTTPS" : "HTTP") })
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

    /// All services with their endpoints, by what callers are known as; of those whose endpoints are known.
    var indexedServices: [(name: String, members: [HeldAssignment.Member])] {
        let services = self.clusters.values.reduce(into: [String: [String: HeldAssignment.Member]]()) { all, cluster in
            guard let key = cluster.key, key.subset.isEmpty, case .assignments(let name) = cluster.source,
                let assignment = self.assignments[name]
            else { return }
            // At several ports it has the same addresses.
            for member in assignment.members {
                all[self.place.label(of: key.host), default: [:]][member.place] = member
            }
        }
        return services.sorted { $0.key < $1.key }.map { name, members in
            (name, members.sorted { $0.key < $1.key }.map(\.value))
        }
    }
}
