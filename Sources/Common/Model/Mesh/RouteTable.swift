// SPDX-License-Identifier: Apache-2.0

/// The virtual hosts of all services at one moment.
///
/// Whoever has rules, ServiceComb's files and servers or `mesh.yaml`, publishes them in this form; the request path knows
/// no other. Everything that can be prepared is: expressions are compiled, routes are in the order in which they are
/// tried, and clusters are numbered, so that an event loop keeps their endpoints in an array.
package struct RouteTable: Sendable {
    /// Those of services that rules are written for, by the service's name.
    package let services: [String: VirtualHost]
    /// Those of `mesh.yaml`, by the name that they have there.
    package let hosts: [String: VirtualHost]
    /// Those of external hosts, by the pattern of each.
    package let externalHosts: [String: VirtualHost]
    /// Finds the virtual hosts of `mesh.yaml` by what a request names.
    package let domains: DomainTable

    /// A table.
    package init(
        _ services: [String: VirtualHost] = [:], hosts: [String: VirtualHost] = [:],
        domains: DomainTable = DomainTable(), externalHosts: [String: VirtualHost] = [:]
    ) {
        self.services = services
        self.hosts = hosts
        self.externalHosts = externalHosts
        self.domains = domains
    }

    /// The virtual host of a service; `nil` when there are no rules for its calls.
    package subscript(service: String) -> VirtualHost? { self.services[service] }

    /// The same, with the very objects of `previous` for what has not changed.
    package func keeping(_ previous: RouteTable?) -> RouteTable {
        guard let previous else { return self }
        return RouteTable(
            Self.keep(self.services, previous.services), hosts: Self.keep(self.hosts, previous.hosts),
            domains: self.domains, externalHosts: Self.keep(self.externalHosts, previous.externalHosts))
    }

    private static func keep(
        _ hosts: [String: VirtualHost], _ old: [String: VirtualHost]
    ) -> [String: VirtualHost] {
        hosts.reduce(into: [:]) { kept, host in
            let known = old[host.key]
            kept[host.key] = known?.plain == host.value.plain ? known : host.value
        }
    }

    /// The same, and what a control plane says; a virtual host that has a name here, or a domain, keeps it, and a service has
    /// the routes of the control plane.
    ///
    /// - Parameter previous: What held until now: external hosts of which nothing has changed are the same objects.
    func joined(by controlPlane: ControlPlaneRoutes?, upon previous: RouteTable? = nil) -> RouteTable {
        guard let controlPlane else { return self }
        return RouteTable(
            self.services.merging(controlPlane.services) { $1 },
            hosts: self.hosts.merging(controlPlane.hosts) { own, _ in own },
            domains: DomainTable(self.domains.domains + controlPlane.domains.domains),
            externalHosts: controlPlane.external == nil
                ? self.externalHosts : Self.keep(controlPlane.externalHosts, previous?.externalHosts ?? [:]))
    }

    /// All that are written as routes, by name; where a service and a host of `mesh.yaml` have one name, the host.
    package var all: [String: VirtualHost] { self.services.merging(self.hosts) { $1 } }
}
