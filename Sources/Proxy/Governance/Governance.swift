// SPDX-License-Identifier: Apache-2.0

package import Common
import Synchronization

/// What governs outgoing requests: the configuration, compiled for each service when it is called first.
///
/// Published with the traffic plan. A new one takes over from its predecessor whatever has not changed, with its state:
/// an edit of one service's limit neither closes the circuit of another nor fills its bucket.
package final class Governance: Sendable {
    /// What was configured.
    package let config: GovernanceConfig
    /// Rules about requests.
    package let rules: RuleConfig
    /// Who calls.
    package let caller: ServiceIdentity
    private let policies: Mutex<[String: ServicePolicy]>
    private let predecessors: [String: ServicePolicy]
    private let tickets: Mutex<[String: ClusterTickets]>
    private let endpoints: Mutex<[String: Endpoint]>
    private let placeholders: Mutex<[String: Service]>
    /// See ``demands(for:)``; of services with route rules.
    private let routedDemands: [String: [ServiceDemand]]

    /// More names than this are not remembered: every host that egress rules allow is one.
    private static let capacity = 100_000

    /// - Parameter previous: What held until now.
    package init(_ config: MesherConfig, upon previous: Governance? = nil) {
        self.config = config.governance
        self.rules = config.rules
        self.caller = config.identity
        self.policies = Mutex([:])
        let routes = config.rules.routes
        let isWritten = { (key: String) in !key.hasPrefix(Self.mark) || routes.hosts[String(key.dropFirst())] != nil }
        self.predecessors = (previous?.all ?? [:]).filter { isWritten($0.key) }
        // They count what is under way, which a new configuration does not end.
        self.tickets = Mutex((previous?.tickets.withLock { $0 } ?? [:]).filter { $1.isInUse || routes.names($0) })
        let addresses = Set(routes.hosts.values.flatMap(\.clusters).flatMap { Self.addresses(of: $0) })
        self.endpoints = Mutex((previous?.endpoints.withLock { $0 } ?? [:]).filter { addresses.contains($0.key) })
        self.placeholders = Mutex(
            (previous?.placeholders.withLock { $0 } ?? [:]).filter { routes.hosts[$0.key] != nil })
        let own = config.identity.app
        self.routedDemands = Dictionary(
            uniqueKeysWithValues: config.rules.routes.services.map { service, routes in
                var apps = [own]
                for cluster in routes.clusters where !cluster.isElsewhere {
                    let app = cluster.tags.app ?? own
                    if !apps.contains(app) { apps.append(app) }
                }
                return (service, apps.map { ServiceDemand(app: $0, name: service) })
            })
    }

    /// What governs calls of a service; the same object for all event loops.
    package func policy(of service: Service) -> ServicePolicy {
        self.policy(for: service.name, isVirtualHost: service.isVirtualHost)
    }

    /// The same by name: of a service, or of a virtual host of `mesh.yaml`, which may have the same name.
    package func policy(for name: String, isVirtualHost: Bool = false) -> ServicePolicy {
        let key = isVirtualHost ? Self.mark + name : name
        return self.policies.withLock { policies in
            if let policy = policies[key] { return policy }
            let host = isVirtualHost ? self.rules.routes.hosts[name] : self.rules.routes[name]
            let policy = ServicePolicy.make(name, host, self, upon: self.predecessors[key])
            if policies.count < Self.capacity { policies[key] = policy }
            return policy
        }
    }

    /// Tells virtual hosts from services, in what is kept by name.
    private static let mark = "\u{0}"

    /// What the endpoints of a cluster whose addresses are written down are kept by.
    private static func addresses(of cluster: Cluster) -> [String] {
        guard case .fixed(let entries) = cluster.members else { return [] }
        return entries.map { "\(cluster.name ?? "") \($0.endpoint)" }
    }

    /// What calls of a service may need of the registry: the service of the caller's own application, then those of the
    /// applications that route rules lead to.
    package func demands(for service: String) -> [ServiceDemand] {
        self.routedDemands[service] ?? [ServiceDemand(app: self.caller.app, name: service)]
    }

    /// The tickets of a cluster that has limits: the same as long as it has its name, whatever else is written.
    func tickets(of cluster: Cluster) -> ClusterTickets? {
        guard let settings = cluster.settings, let name = cluster.name,
            settings.maxRequests != nil || settings.maxRetries != nil
        else { return nil }
        return self.tickets.withLock { known in
            if let tickets = known[name] { return tickets }
            let tickets = ClusterTickets()
            known[name] = tickets
            return tickets
        }
    }

    /// The service without instances that stands for a virtual host of `mesh.yaml`: the same object as long as the process
    /// runs.
    package func placeholder(of host: String) -> Service {
        self.placeholders.withLock { known in
            if let service = known[host] { return service }
            let service = Service(name: host, instances: [], ownApp: self.caller.app, isVirtualHost: true)
            known[host] = service
            return service
        }
    }

    /// The endpoints of a cluster, and the service whose they are; that is `nil` where it is not there, and for addresses
    /// that are written down.
    ///
    /// - Parameter cluster: `nil` for the default endpoints of `service`, the one that is called.
    package func endpoints(
        of cluster: Cluster?, _ service: Service, near region: RegionConfig?, isGRPC: Bool = false,
        in directory: ServiceDirectory
    ) -> (owner: Service?, set: EndpointSet) {
        let name = isGRPC || cluster?.settings?.isHTTP2 == true ? "grpc" : "rest"
        func matching(_ tags: InstanceTags, of service: Service) -> EndpointSet {
            service.endpoints(matching: tags, ownApp: self.caller.app, near: region, protocolName: name)
        }
        switch cluster?.members {
        case nil where name == "rest" && region == nil: return (service, service.defaultEndpoints)
        case nil: return (service, matching(InstanceTags(), of: service))
        case .own(let tags): return (service, matching(tags, of: service))
        case .service(let other, let tags):
            guard let owner = directory[other] else {
                let missing = EndpointSet.Tags(
                    version: tags.version, app: tags.app ?? self.caller.app, properties: tags.properties)
                return (nil, EndpointSet([], tags: missing))
            }
            return (owner, matching(tags, of: owner))
        case .fixed(let entries):
            let endpoints = cluster.map { self.endpoints(entries, of: $0) } ?? []
            return (nil, EndpointSet(endpoints, tags: .init(version: "", app: "")))
        }
    }

    /// The endpoints of a cluster whose addresses are written down.
    ///
    /// They are the same objects for all event loops and for as long as the process runs, so that what is known of their
    /// health is. Two clusters may have one address, and what one finds out of it is not the other's business.
    private func endpoints(_ entries: [ClusterEntry], of cluster: Cluster) -> [Endpoint] {
        self.endpoints.withLock { known in
            entries.compactMap { entry in
                let key = "\(cluster.name ?? "") \(entry.endpoint)"
                if let endpoint = known[key] { return endpoint }
                guard let endpoint = try? Endpoint(entry.endpoint) else { return nil }
                known[key] = endpoint
                return endpoint
            }
        }
    }

    /// What is known of a service without making anything.
    package func known(_ service: String) -> ServicePolicy? { self.all[service] }

    /// Those of all services that were called.
    package var all: [String: ServicePolicy] {
        self.policies.withLock { policies in self.predecessors.merging(policies) { $1 } }
    }
}

/// What governs calls of one service; shared by all event loops.
package final class ServicePolicy: Sendable {
    /// The called service.
    package let service: String
    /// How its instance is chosen.
    package let balancing: BalancingPolicy
    /// When a call is repeated.
    package let retry: RetryPolicy
    /// Time limit, bulkhead, breaker and fallback as configured.
    package let resilience: ResiliencePolicy
    /// What has a circuit of its own.
    package let scope: BreakerScope
    /// The rings of its instances, where they are chosen by hash.
    package let rings = SharedRings()
    /// The circuit of the service.
    package let circuit: Circuit
    /// The circuits of single instances, where they have their own.
    package let circuits: InstanceCircuits
    /// Requests a second; `nil` for no limit.
    package let limiter: RateLimiter?
    /// The limit as configured.
    package let limit: Int?
    /// The routes of its calls; `nil` for all to the newest version.
    package let host: VirtualHost?
    /// Which of the routes this caller can match at all, in the order in which they are tried.
    package let activeRoutes: [Int]
    /// Finds the route of a request; `nil` when there are none.
    package let matcher: RouteMatcher?
    /// What the routes do besides leading to a cluster, in their order.
    package let effects: [RouteEffect?]
    /// The limits of the clusters, in their order.
    package let tickets: [ClusterTickets?]
    /// Faults to inject.
    package let fault: FaultPolicy?
    /// The sessions that stick to an instance.
    package let sessions: SessionTable?
    /// When an instance is left out.
    package let outliers: OutlierSettings
    /// Where the caller runs, when near instances are preferred.
    package let region: RegionConfig?

    private init(_ service: String, _ host: VirtualHost?, _ governance: Governance, upon old: ServicePolicy?) {
        let config = governance.config
        self.service = service
        self.balancing = config.balancing.balancing(for: service)
        self.retry = config.balancing.retry(for: service)
        self.outliers = config.balancing.outliers
        self.region = self.balancing.isZoneAware ? config.region : nil
        let resilience = config.resilience.policy(for: service)
        self.resilience = resilience
        self.scope = config.resilience.scope
        if let old, old.scope == config.resilience.scope, old.resilience.breaker == resilience.breaker {
            self.circuit = old.circuit
            self.circuits = old.circuits
            self.circuit.limit(to: resilience.maxConcurrent)
            self.circuits.limit(to: resilience.maxConcurrent)
        } else {
            self.circuit = Circuit(settings: resilience.breaker, limit: resilience.maxConcurrent)
            self.circuits = InstanceCircuits(resilience)
        }
        self.limit = config.rateLimits.consumerLimit(for: service)
        if let old, old.limit == self.limit {
            self.limiter = old.limiter
        } else {
            self.limiter = self.limit.map { RateLimiter(rate: $0) }
        }
        let isSame = host != nil && host?.plain == old?.host?.plain
        self.host = isSame ? old?.host : host
        let active = (self.host?.routes ?? []).enumerated()
            .filter { $0.element.match.isPossible(for: governance.caller) }.map(\.offset)
        self.activeRoutes = active
        self.matcher = self.host.map { RouteMatcher($0, active: active) }
        self.effects = (self.host?.routes ?? []).map { $0.action.map { RouteEffect($0) } }
        self.tickets = (self.host?.clusters ?? []).map { governance.tickets(of: $0) }
        self.fault = governance.rules.faults[service]
        guard self.balancing.strategy == .sessionStickiness else {
            self.sessions = nil
            return
        }
        let isSameTable =
            old?.balancing.sessionTimeout == self.balancing.sessionTimeout
            && old?.balancing.sessionFailures == self.balancing.sessionFailures
        self.sessions =
            (isSameTable ? old?.sessions : nil)
            ?? SessionTable(timeout: self.balancing.sessionTimeout, failureLimit: self.balancing.sessionFailures)
    }

    /// The policy that `governance` has for a service: the old one where nothing has changed.
    static func make(
        _ service: String, _ host: VirtualHost?, _ governance: Governance, upon old: ServicePolicy?
    ) -> ServicePolicy {
        let policy = ServicePolicy(service, host, governance, upon: old)
        guard let old, policy.isSame(as: old) else { return policy }
        return old
    }

    private func isSame(as old: ServicePolicy) -> Bool {
        self.balancing == old.balancing && self.retry == old.retry && self.outliers == old.outliers
            && self.resilience == old.resilience && self.scope == old.scope && self.limit == old.limit
            && self.host === old.host && self.activeRoutes == old.activeRoutes && self.fault == old.fault
            && self.region == old.region
    }
}

/// The circuits of the instances of one service, by endpoint.
package final class InstanceCircuits: Sendable {
    private struct State {
        var limit: Int
        var circuits: [String: Circuit] = [:]
    }

    private let breaker: BreakerSettings
    private let state: Mutex<State>

    init(_ policy: ResiliencePolicy) {
        self.breaker = policy.breaker
        self.state = Mutex(State(limit: policy.maxConcurrent))
    }

    /// Another limit of requests at a time, of each instance; see ``Circuit/limit(to:)``.
    func limit(to limit: Int) {
        self.state.withLock { state in
            guard state.limit != limit else { return }
            state.limit = limit
            for circuit in state.circuits.values { circuit.limit(to: limit) }
        }
    }

    /// The circuit of an instance, which is made when it is asked for first; the same for all event loops.
    package func circuit(of endpoint: Endpoint) -> Circuit {
        let key = endpoint.description
        return self.state.withLock { state in
            if let circuit = state.circuits[key] { return circuit }
            let circuit = Circuit(settings: self.breaker, limit: state.limit)
            // Instances come and go; those of the past are not kept for ever.
            if state.circuits.count >= 10_000 { state.circuits.removeAll() }
            state.circuits[key] = circuit
            return circuit
        }
    }

    /// All of them, by endpoint.
    package var all: [String: Circuit] { self.state.withLock { $0.circuits } }
}

extension Route.Match {
    /// Whether a rule can match requests of this caller.
    ///
    /// A request's headers are not looked at, so this is found out once.
    package func isPossible(for caller: ServiceIdentity) -> Bool {
        guard case .request(let match) = self else { return true }
        if let source = match.source, source != caller.name { return false }
        return match.sourceTags.allSatisfy { name, value in caller.tag(name) == value }
    }
}

extension ServiceIdentity {
    /// What rules may ask of a caller: `app`, `version`, or a property of its instance.
    package func tag(_ name: String) -> String? {
        switch name {
        case "app": self.app
        case "version": self.version
        default: self.instanceProperties[name] ?? self.properties[name]
        }
    }
}
