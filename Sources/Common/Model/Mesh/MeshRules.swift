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
    /// What a control plane says of them; `nil` where there is none that says anything.
    package let controlPlane: ControlPlaneRoutes?
    /// The routes without what a control plane says.
    private let ownRoutes: RouteTable
    /// Finds the virtual hosts of `mesh.yaml` and of a control plane.
    package let hosts: HostIndex
    /// Finds the external hosts that egress rules allow, or a control plane.
    package let externalHosts: HostIndex
    private let externalRules: [ExternalHosts.Rule]
    /// Those of files.
    private let ownExternalHosts: ExternalHosts
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
    package convenience init(_ config: MesherConfig, upon previous: MeshRules? = nil) {
        let routes = config.rules.routes.keeping(previous?.ownRoutes)
        self.init(
            caller: config.identity, config.governance, config.rules.faults, routes, previous?.controlPlane,
            externalHosts: config.rules.externalHosts, upon: previous)
    }

    private init(
        caller: ServiceIdentity, _ governance: GovernanceConfig, _ faults: FaultRules, _ routes: RouteTable,
        _ controlPlane: ControlPlaneRoutes?, externalHosts: ExternalHosts, upon previous: MeshRules?
    ) {
        self.number = Self.count.add(1, ordering: .relaxed).newValue
        self.caller = caller
        self.governance = governance
        self.faults = faults
        self.allowsLoopback = externalHosts.allowsLoopback
        self.ownRoutes = routes
        self.controlPlane = controlPlane
        let all = routes.joined(by: controlPlane, upon: previous?.routes)
        self.routes = all
        self.hosts = HostIndex(all.domains, upon: previous?.hosts)
        self.ownExternalHosts = externalHosts
        let external = controlPlane?.external ?? externalHosts.rules
        self.externalRules = external
        if let previous, previous.externalRules == external {
            self.externalHosts = previous.externalHosts
        } else {
            self.externalHosts = HostIndex(ExternalHosts(external), upon: previous?.externalHosts)
        }
        self.hasHosts =
            !self.hosts.isEmpty || !self.externalHosts.isEmpty || controlPlane.map { !$0.isOfServices } ?? false
        self.demands = Self.demands(all, own: caller.app)
    }

    /// The same with what a control plane says.
    package func with(_ controlPlane: ControlPlaneRoutes?) -> MeshRules {
        MeshRules(
            caller: self.caller, self.governance, self.faults, self.ownRoutes, controlPlane,
            externalHosts: self.ownExternalHosts, upon: self)
    }

    private static func demands(_ routes: RouteTable, own: String) -> [String: [ServiceDemand]] {
        routes.services.reduce(into: [:]) { demands, service in
            var apps = [own]
            for cluster in service.value.clusters where !cluster.isElsewhere {
                let app = cluster.tags.app ?? own
                if !apps.contains(app) { apps.append(app) }
            }
            demands[service.key] = apps.map { ServiceDemand(app: $0, name: service.key) }
        }
    }

    /// What a control plane has to be asked for before it is known who answers requests for a port; `nil` where that is
    /// known, or nobody's business.
    package func demand(forPort port: UInt16) -> ServiceDemand? {
        guard let controlPlane = self.controlPlane, !controlPlane.isOfServices, !controlPlane.ports.contains(port)
        else { return nil }
        return ControlPlaneRoutes.demand(for: port, app: self.caller.app)
    }

    /// What calls of a service may need of the registry: the service of the caller's own application, then those of the
    /// applications that routes lead to.
    package func demands(for service: String) -> [ServiceDemand] {
        self.demands[service] ?? [ServiceDemand(app: self.caller.app, name: service)]
    }

    /// The routes of a service or host; `nil` when there are none.
    package func host(of name: String, _ kind: Service.Kind) -> VirtualHost? {
        switch kind {
        case .service, .cluster: self.routes.services[name]
        case .virtualHost: self.routes.hosts[name]
        case .externalHost: self.routes.externalHosts[name]
        }
    }
}
