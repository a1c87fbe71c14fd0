// SPDX-License-Identifier: Apache-2.0

package import Common
import Synchronization

/// What governs outgoing requests, with the state that goes on from one configuration to the next: circuits, limits, sessions,
/// what is under way.
///
/// There is one for a process. What holds for a service or host is compiled when it is called first, and taken over from
/// what held before wherever nothing has changed: an edit of one service's limit neither closes the circuit of another nor
/// fills its bucket.
package final class Governance: Sendable {
    private struct Key: Hashable {
        let name: String
        let kind: Service.Kind
    }

    private struct State {
        /// The newest that anybody has asked with.
        var rules: MeshRules?
        var policies: [Key: (policy: ServicePolicy, number: Int)] = [:]
        var tickets: [String: ClusterTickets] = [:]
        /// Of addresses that are written down, by cluster and address.
        var endpoints: [String: Endpoint] = [:]
    }

    private let state = Mutex(State())

    /// More names than this are not remembered: whoever names services that come and go must not fill the memory.
    private static let capacity = 100_000

    /// Nothing is governed yet.
    package init() {}

    /// What governs calls of a service or host; the same object for all event loops.
    package func policy(of service: Service, under rules: MeshRules) -> ServicePolicy {
        self.policy(for: service.name, service.kind, under: rules)
    }

    /// The same by name.
    package func policy(
        for name: String, _ kind: Service.Kind = .service, under rules: MeshRules
    ) -> ServicePolicy {
        let key = Key(name: name, kind: kind)
        return self.state.withLock { state in
            if rules.number > state.rules?.number ?? -1 { Self.adopt(rules, &state) }
            let known = state.policies[key]
            if let known, known.number == rules.number { return known.policy }
            let policy = ServicePolicy.make(
                name, rules.host(of: name, kind), rules, { Self.tickets(of: $0, &state) }, upon: known?.policy)
            // An event loop may still be at older rules: what it asks for is not what holds from now on.
            let isNewest = rules === state.rules
            if isNewest {
                policy.circuit.limit(to: policy.resilience.maxConcurrent)
                policy.circuits.limit(to: policy.resilience.maxConcurrent)
            }
            if isNewest, known != nil || state.policies.count < Self.capacity {
                state.policies[key] = (policy, rules.number)
            }
            return policy
        }
    }

    /// Forgets what newer rules know nothing of.
    private static func adopt(_ rules: MeshRules, _ state: inout State) {
        state.rules = rules
        let routes = rules.routes
        state.policies = state.policies.filter {
            $0.key.kind == .service || rules.host(of: $0.key.name, $0.key.kind) != nil
        }
        // They count what is under way, which new rules do not end.
        let clusters = routes.hosts.values.flatMap(\.clusters)
        if !state.tickets.isEmpty {
            let names = Set(clusters.compactMap(\.name))
            state.tickets = state.tickets.filter { $1.isInUse || names.contains($0) }
        }
        if !state.endpoints.isEmpty {
            let addresses = Set(clusters.flatMap { Self.addresses(of: $0) })
            state.endpoints = state.endpoints.filter { addresses.contains($0.key) }
        }
    }

    /// What the endpoints of a cluster whose addresses are written down are kept by.
    private static func addresses(of cluster: Cluster) -> [String] {
        guard case .fixed(let entries) = cluster.members else { return [] }
        return entries.map { Self.address(of: $0, cluster) }
    }

    private static func address(of entry: ClusterEntry, _ cluster: Cluster) -> String {
        "\(cluster.name ?? "") \(entry.endpoint)"
    }

    /// The tickets of a cluster that has limits: the same as long as it has its name, whatever else is written.
    private static func tickets(of cluster: Cluster, _ state: inout State) -> ClusterTickets? {
        guard let name = cluster.name, cluster.settings?.hasLimits == true else { return nil }
        if let tickets = state.tickets[name] { return tickets }
        let tickets = ClusterTickets()
        state.tickets[name] = tickets
        return tickets
    }

    /// The endpoints of a cluster, and the service whose they are; that is `nil` where it is not there, and for addresses
    /// that are written down.
    ///
    /// - Parameter cluster: `nil` for the default endpoints of `service`, the one that is called.
    package func endpoints(
        of cluster: Cluster?, _ service: Service, _ caller: ServiceIdentity, near region: RegionConfig?,
        isGRPC: Bool = false, in directory: ServiceDirectory
    ) -> (owner: Service?, set: EndpointSet) {
        let name = isGRPC || cluster?.settings?.isHTTP2 == true ? "grpc" : "rest"
        func matching(_ tags: InstanceTags, of service: Service) -> EndpointSet {
            service.endpoints(matching: tags, ownApp: caller.app, near: region, protocolName: name)
        }
        switch cluster?.members {
        case nil where name == "rest" && region == nil: return (service, service.defaultEndpoints)
        case nil: return (service, matching(InstanceTags(), of: service))
        case .own(let tags): return (service, matching(tags, of: service))
        case .service(let other, let tags):
            guard let owner = directory[other] else {
                let missing = EndpointSet.Tags(
                    version: tags.version, app: tags.app ?? caller.app, properties: tags.properties)
                return (nil, EndpointSet([], tags: missing))
            }
            return (owner, matching(tags, of: owner))
        case .fixed(let entries):
            let endpoints = cluster.map { self.endpoints(entries, of: $0) } ?? []
            return (nil, EndpointSet(endpoints, tags: .init(version: "", app: "")))
        case .requested:
            // Whoever finds the host resolves it, before anything is chosen.
            return (nil, EndpointSet([], tags: .init(version: "", app: "")))
        }
    }

    /// The endpoints of a cluster whose addresses are written down.
    ///
    /// They are the same objects for all event loops and for as long as the process runs, so that what is known of their
    /// health is. Two clusters may have one address, and what one finds out of it is not the other's business.
    private func endpoints(_ entries: [ClusterEntry], of cluster: Cluster) -> [Endpoint] {
        self.state.withLock { state in
            entries.compactMap { entry in
                let key = Self.address(of: entry, cluster)
                if let endpoint = state.endpoints[key] { return endpoint }
                guard let endpoint = try? Endpoint(entry.endpoint) else { return nil }
                state.endpoints[key] = endpoint
                return endpoint
            }
        }
    }

    /// The same for whoever looks at them from outside.
    package func endpoints(writtenIn cluster: Cluster) -> [Endpoint] {
        guard case .fixed(let entries) = cluster.members else { return [] }
        return self.endpoints(entries, of: cluster)
    }

    /// What governs the services and hosts of this name that were called; nothing is made.
    package func policies(named name: String) -> [ServicePolicy] {
        self.state.withLock { state in
            state.policies.filter { $0.key.name == name || $0.value.policy.service == name }.map(\.value.policy)
        }
    }

    /// What governs the services that were called, by name; nothing is made.
    package var services: [String: ServicePolicy] {
        self.state.withLock { state in
            state.policies.reduce(into: [:]) { services, entry in
                if entry.key.kind == .service { services[entry.key.name] = entry.value.policy }
            }
        }
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
    package let rings: SharedRings
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
    /// The rule that allows an external host; `nil` for what is none.
    package let requested: RequestedHosts?
    /// Faults to inject.
    package let fault: FaultPolicy?
    /// The sessions that stick to an instance.
    package let sessions: SessionTable?
    /// When an instance is left out.
    package let outliers: OutlierSettings
    /// Where the caller runs, when near instances are preferred.
    package let region: RegionConfig?

    private init(
        _ service: String, _ host: VirtualHost?, _ rules: MeshRules, _ tickets: (Cluster) -> ClusterTickets?,
        upon old: ServicePolicy?
    ) {
        let config = rules.governance
        // They compare whose rings they are.
        self.rings = old?.rings ?? SharedRings()
        let service = host?.service ?? service
        self.service = service
        let isOurs = host?.service == nil
        self.balancing = isOurs ? config.balancing.balancing(for: service) : BalancingPolicy()
        self.retry = isOurs ? config.balancing.retry(for: service) : RetryPolicy()
        self.outliers =
            isOurs ? config.balancing.outliers : OutlierSettings(consecutiveErrors: 0, consecutiveConnectFailures: 0)
        self.region = self.balancing.isZoneAware ? config.region : nil
        let resilience = config.resilience.policy(for: service)
        self.resilience = resilience
        self.scope = config.resilience.scope
        if let old, old.scope == config.resilience.scope, old.resilience.breaker == resilience.breaker {
            self.circuit = old.circuit
            self.circuits = old.circuits
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
        self.host = host
        let active = (self.host?.routes ?? []).enumerated()
            .filter { $0.element.match.isPossible(for: rules.caller) }.map(\.offset)
        self.activeRoutes = active
        self.matcher = self.host.map { RouteMatcher($0, active: active) }
        self.effects = RouteEffect.all(of: self.host, upon: old?.effects ?? [])
        self.tickets = (self.host?.clusters ?? []).map { tickets($0) }
        self.fault = rules.faults[service]
        if let rule = self.host?.requestedRule {
            self.requested = RequestedHosts(
                rule: rule, asker: NameResolver.Asker("external \(service)", threads: RequestedHosts.threads))
        } else {
            self.requested = nil
        }
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

    /// The policy that rules have for a service: the old one where nothing has changed.
    ///
    /// - Parameter tickets: The tickets of a cluster that has limits.
    static func make(
        _ service: String, _ host: VirtualHost?, _ rules: MeshRules, _ tickets: (Cluster) -> ClusterTickets?,
        upon old: ServicePolicy?
    ) -> ServicePolicy {
        let policy = ServicePolicy(service, host, rules, tickets, upon: old)
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

/// Hosts that requests may name by themselves.
package struct RequestedHosts: Sendable {
    /// The rule that allows them.
    package let rule: ExternalHosts.Rule
    /// Who looks up their names.
    package let asker: NameResolver.Asker

    /// How many names of a rule are looked up at a time.
    static let threads = 2
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
