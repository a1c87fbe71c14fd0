// SPDX-License-Identifier: Apache-2.0

/// The virtual hosts that a control plane has said, as far as it was asked.
///
/// A control plane has one table of routes for each port; a table is asked for when a request names its port. Where services
/// come from elsewhere, its routes are those of services, whatever the port.
package final class ControlPlaneRoutes: Sendable {
    /// By the name that each has there.
    package let hosts: [String: VirtualHost]
    /// Finds them by what a request names.
    package let domains: DomainTable
    /// The ports whose tables are known, or known not to be there.
    package let ports: Set<UInt16>
    /// Those of services that come from elsewhere, by the service's name.
    package let services: [String: VirtualHost]
    /// Whether there are no others than ``services``.
    package let isOfServices: Bool
    private let portsWithHosts: Set<UInt16>

    /// What is said of these ports.
    package init(_ hosts: [String: VirtualHost], domains: DomainTable, ports: Set<UInt16>) {
        self.hosts = hosts
        self.domains = domains
        self.ports = ports
        self.services = [:]
        self.isOfServices = false
        self.portsWithHosts = Set(domains.domains.compactMap(\.port))
    }

    /// What is said of services that come from elsewhere.
    package init(ofServices services: [String: VirtualHost]) {
        self.hosts = [:]
        self.domains = DomainTable()
        self.ports = []
        self.services = services
        self.isOfServices = true
        self.portsWithHosts = []
    }

    /// Whether there is any host for requests to this port.
    package func hasHosts(at port: UInt16) -> Bool { self.portsWithHosts.contains(port) }

    /// What a registry is asked for when a request names a port of which nothing is known.
    ///
    /// No service can have this name.
    package static func demand(for port: UInt16, app: String) -> ServiceDemand {
        ServiceDemand(app: app, name: ":\(port)")
    }

    /// The port that such a demand is for; `nil` for one of a service.
    package static func port(of demand: ServiceDemand) -> UInt16? {
        demand.name.hasPrefix(":") ? UInt16(demand.name.dropFirst()) : nil
    }
}
