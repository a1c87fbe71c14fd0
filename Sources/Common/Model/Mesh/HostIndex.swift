// SPDX-License-Identifier: Apache-2.0
// request path

/// Finds the host that a request names, by the name and its port.
///
/// What is found is a service without instances, which stands for the host in what event loops keep. It is the same object
/// from one index to the next.
///
/// - Source: the search of virtual hosts by domain in Envoy's route configuration.
package struct HostIndex: Sendable {
    /// Those that name a port, by it.
    private let ofPorts: [(port: UInt16, hosts: HostTable<Service>)]
    private let ofAny: HostTable<Service>
    private let known: [String: Service]

    /// Whether there are none.
    package let isEmpty: Bool

    /// The virtual hosts of `mesh.yaml`.
    package init(_ table: DomainTable, upon previous: HostIndex? = nil) {
        self.init(table.domains.map { ($0.pattern, $0.port, $0.host) }, .virtualHost, upon: previous)
    }

    /// The external hosts, by their patterns.
    package init(_ hosts: ExternalHosts, upon previous: HostIndex? = nil) {
        self.init(hosts.rules.map { ($0.pattern, nil, $0.pattern) }, .externalHost, upon: previous)
    }

    private init(
        _ patterns: [(pattern: String, port: UInt16?, host: String)], _ kind: Service.Kind, upon previous: HostIndex?
    ) {
        var known: [String: Service] = [:]
        for (_, _, host) in patterns where known[host] == nil {
            known[host] = previous?.known[host] ?? Service(name: host, instances: [], ownApp: "", kind: kind)
        }
        func hosts(_ port: UInt16?) -> HostTable<Service> {
            HostTable(
                patterns.compactMap { entry in
                    guard entry.port == port, let service = known[entry.host] else { return nil }
                    return (entry.pattern, service)
                })
        }
        self.known = known
        self.isEmpty = patterns.isEmpty
        self.ofAny = hosts(nil)
        self.ofPorts = Set(patterns.compactMap(\.port)).sorted().map { ($0, hosts($0)) }
    }

    /// What stands for the host of this name; off the request path.
    package func service(named name: String) -> Service? { self.known[name] }

    /// The host that has a name, without a dot at its end, and a port.
    ///
    /// Cost: one or two passes over the name, and a look at each port that is named.
    package func find(_ host: RawSpan, port: UInt16) -> Service? {
        for (own, hosts) in self.ofPorts where own == port {
            if let found = hosts.value(for: host) { return found }
        }
        return self.ofAny.value(for: host)
    }
}
