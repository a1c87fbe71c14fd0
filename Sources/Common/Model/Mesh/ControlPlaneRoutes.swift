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
    /// Those of ``ports`` that services of the control plane have, whether or not their tables say anything: who is in no
    /// table of theirs has no host.
    package let servedPorts: Set<UInt16>
    /// Those of services that come from elsewhere, by the service's name.
    package let services: [String: VirtualHost]
    /// Whether there are no others than ``services``.
    package let isOfServices: Bool
    /// The hosts outside the mesh that may be called, in place of those of files; `nil` where the control plane is not asked.
    package let external: [ExternalHosts.Rule]?
    /// The same by their patterns.
    package let externalHosts: [String: VirtualHost]

    /// What is said of these ports.
    package init(
        _ hosts: [String: VirtualHost], domains: DomainTable, ports: Set<UInt16>, servedPorts: Set<UInt16>,
        external: [ExternalHosts.Rule]? = nil
    ) {
        self.hosts = hosts
        self.domains = domains
        self.ports = ports
        self.servedPorts = servedPorts
        self.services = [:]
        self.isOfServices = false
        self.external = external
        self.externalHosts = Self.externalHosts(external)
    }

    private static func externalHosts(_ rules: [ExternalHosts.Rule]?) -> [String: VirtualHost] {
        ExternalHosts(rules ?? []).virtualHosts(at: ConfigLocation("a ServiceEntry"))
    }

    /// What is said of services that come from elsewhere.
    package init(ofServices services: [String: VirtualHost], external: [ExternalHosts.Rule]? = nil) {
        self.hosts = [:]
        self.domains = DomainTable()
        self.ports = []
        self.servedPorts = []
        self.services = services
        self.isOfServices = true
        self.external = external
        self.externalHosts = Self.externalHosts(external)
    }

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
