// SPDX-License-Identifier: Apache-2.0

/// The virtual hosts of all services at one moment.
///
/// Whoever has rules, ServiceComb's files and servers or `mesh.yaml`, publishes them in this form; the request path knows
/// no other. Everything that can be prepared is: expressions are compiled, routes are in the order in which they are
/// tried, and clusters are numbered, so that an event loop keeps their endpoints in an array.
package struct RouteTable: Sendable {
    /// By the name of the called service, or that of a virtual host of `mesh.yaml`.
    package private(set) var hosts: [String: VirtualHost]
    /// Finds the virtual hosts of `mesh.yaml` by what a request names.
    package let domains: DomainTable

    /// A table.
    package init(_ hosts: [String: VirtualHost] = [:], domains: DomainTable = DomainTable()) {
        self.hosts = hosts
        self.domains = domains
    }

    /// The virtual host of a service; `nil` when there are no rules for its calls.
    package subscript(service: String) -> VirtualHost? { self.hosts[service] }
}
