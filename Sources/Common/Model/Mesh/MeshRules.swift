// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// What is ruled about calls: their routes, and the settings that services and hosts are called with.
///
/// Compiled from the configuration off the event loops. What has not changed since the last one is the same objects. A
/// class, so that one comparison tells whether something is new.
package final class MeshRules: Sendable {
    /// A newer value has a higher one.
    package let number: Int
    /// Who calls.
    package let caller: ServiceIdentity
    /// Balancing, retries, limits and breakers.
    package let governance: GovernanceConfig
    /// What is done to calls on purpose.
    package let faults: FaultRules
    /// What becomes of the requests for each name.
    package let routes: RouteTable
    /// Finds the virtual hosts of `mesh.yaml`.
    package let hosts: HostIndex
    /// Finds the external hosts that egress rules allow.
    package let externalHosts: HostIndex
    /// Whether there is any host besides services.
    package let hasHosts: Bool
    /// Whether external hosts may have addresses of this machine, its link or its cloud.
    package let allowsLoopback: Bool
    /// See ``demands(for:)``; of services with routes.
    private let demands: [String: [ServiceDemand]]

    private static let count = Atomic<Int>(0)

    /// The rules of a configuration.
    ///
    /// - Parameter previous: What held until now.
    package init(_ config: MesherConfig, upon previous: MeshRules? = nil) {
        self.number = Self.count.add(1, ordering: .relaxed).newValue
        self.caller = config.identity
        self.governance = config.governance
        self.faults = config.rules.faults
        self.allowsLoopback = config.rules.externalHosts.allowsLoopback
        let routes = config.rules.routes.keeping(previous?.routes)
        self.routes = routes
        self.hosts = HostIndex(routes.domains, upon: previous?.hosts)
        self.externalHosts = HostIndex(config.rules.externalHosts, upon: previous?.externalHosts)
        self.hasHosts = !self.hosts.isEmpty || !self.externalHosts.isEmpty
        let own = config.identity.app
        self.demands = routes.services.reduce(into: [:]) { demands, service in
            var apps = [own]
            for cluster in service.value.clusters where !cluster.isElsewhere {
                let app = cluster.tags.app ?? own
                if !apps.contains(app) { apps.append(app) }
            }
            demands[service.key] = apps.map { ServiceDemand(app: $0, name: service.key) }
        }
    }

    /// What calls of a service may need of the registry: the service of the caller's own application, then those of the
    /// applications that routes lead to.
    package func demands(for service: String) -> [ServiceDemand] {
        self.demands[service] ?? [ServiceDemand(app: self.caller.app, name: service)]
    }

    /// The routes of a service or host; `nil` when there are none.
    package func host(of name: String, _ kind: Service.Kind) -> VirtualHost? {
        switch kind {
        case .service: self.routes.services[name]
        case .virtualHost: self.routes.hosts[name]
        case .externalHost: self.routes.externalHosts[name]
        }
    }
}
