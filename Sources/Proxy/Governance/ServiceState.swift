// SPDX-License-Identifier: Apache-2.0
// request path

package import Common
package import NIOCore

/// What one event loop keeps about one service: whose turn it is, and how its instances do.
///
/// It takes over from its predecessor what still holds, so that neither a new instance nor a reload of the
/// configuration begins anything anew that it does not concern.
package final class ServiceState {
    /// The service; kept alive, so that its identity is not given to another one.
    package let service: Service
    /// What governs its calls.
    package let policy: ServicePolicy
    /// Counts the answers to requests that no instance was chosen for.
    package let counters: RequestCounters
    /// The longest wait for an answer; `nil` for the listener's.
    package let timeout: TimeAmount?
    /// What `policy` was compiled from, or could have been.
    package internal(set) var rules: MeshRules
    /// Retries are a share of the requests; the same object until that share is another one.
    package let budget: RetryBudget
    /// Where the targets of each route lead: one more than their cluster's index, 0 for those that answer.
    private let places: [[Int32]]
    /// One for each route that has several targets.
    private var splits: [WeightedSplit?]
    /// The default endpoints, then those of the clusters of the routes; first those of HTTP, then the same of gRPC.
    private var clusters: [ClusterBalancer?]
    /// Where each of these begins when it is made.
    private var turns: [BalancerTurn]
    /// What the endpoints of other services were taken from; `nil` where there are none.
    private var directory: ServiceDirectory?
    private var loads: [ObjectIdentifier: EndpointLoad]
    /// Counts the requests of each target of each route.
    private let hits: [[Counter]]

    /// - Parameter loops: How many event loops share what is allowed to the process.
    init(
        _ service: Service, _ policy: ServicePolicy, _ rules: MeshRules, _ counters: RequestCounters,
        loop: Int, of loops: Int, upon old: ServiceState?, using random: inout FastRandom
    ) {
        self.hits = policy.host?.hits.shard(of: loop) ?? []
        self.places = (policy.host?.routes ?? []).map { route in
            route.targets.map { target in target.cluster.map { Int32(truncatingIfNeeded: $0 + 1) } ?? 0 }
        }
        self.service = service
        self.policy = policy
        self.rules = rules
        self.counters = counters
        self.timeout = policy.resilience.timeout.map { TimeAmount($0) }
        let percent = policy.retry.budgetPercent
        let known = old.flatMap { $0.policy.retry.budgetPercent == percent ? $0.budget : nil }
        self.budget = known ?? RetryBudget(percent: percent, loops: loops)
        self.splits = Self.splits(policy.host, upon: old)
        self.clusters = Array(repeating: nil, count: 2 * (1 + (policy.host?.clusters.count ?? 0)))
        self.turns = Self.turns(policy.host, upon: old, using: &random)
        self.loads = Self.loads(of: service, policy.host, upon: old)
    }

    /// The target of a route whose turn it is; `nil` when the route leads to none.
    ///
    /// - Returns: An index into the route's targets, and which endpoints it has, as ``cluster(_:isGRPC:_:)`` knows them.
    package func target(of route: Int) -> (index: Int, cluster: Int)? {
        guard route < self.places.count, !self.places[route].isEmpty else { return nil }
        let target = self.splits[route]?.next() ?? 0
        self.hits[route][target].add()
        return (target, Int(self.places[route][target]))
    }

    /// The endpoints that a request may go to.
    ///
    /// - Parameter index: 0 for the default endpoints, else one more than that of the cluster of the routes.
    /// - Parameter isGRPC: Whether the endpoints must speak gRPC.
    package func cluster(_ index: Int, isGRPC: Bool, _ worker: Worker) -> ClusterBalancer {
        if let directory = self.directory, directory !== worker.directory { self.lookElsewhere(worker) }
        let place = isGRPC ? index &+ self.clusters.count / 2 : index
        return self.clusters[place] ?? self.makeCluster(index, isGRPC, at: place, worker)
    }

    /// Forgets the endpoints of other services that have changed.
    private func lookElsewhere(_ worker: Worker) {
        let directory = worker.directory
        self.directory = directory
        var isPruned = false
        for index in self.clusters.indices {
            guard let known = self.clusters[index], case .service(let name, _)? = known.cluster?.members,
                directory[name] !== known.foreign
            else { continue }
            // Instances of other services come and go while this state stays; those of a cluster that is made anew are
            // still known to it.
            if !isPruned { self.loads = self.usedLoads }
            isPruned = true
            self.turns[index] = known.turn
            self.clusters[index] = nil
        }
    }

    private func makeCluster(_ index: Int, _ isGRPC: Bool, at place: Int, _ worker: Worker) -> ClusterBalancer {
        let cluster = index == 0 ? nil : self.policy.host?.clusters[index - 1]
        let directory = worker.directory
        let (owner, set) = worker.governance.endpoints(
            of: cluster, self.service, self.rules.caller, near: self.policy.region, isGRPC: isGRPC, in: directory)
        if case .service? = cluster?.members { self.directory = directory }
        let called = self.policy.host?.service ?? owner?.name ?? self.service.name
        // Of a control plane's cluster its name says which version is meant; its endpoints have none.
        let tags = owner?.kind == .cluster ? cluster?.tags : nil
        let counters = worker.metrics.counters(
            .service(
                called, app: tags.map { $0.app ?? self.rules.caller.app } ?? set.tags.app,
                version: tags?.version ?? set.tags.version))
        let loads = set.endpoints.map { self.load(of: $0, worker.index) }
        var balancing = self.policy.balancing
        if let strategy = cluster?.settings?.strategy { balancing.strategy = strategy }
        let made = ClusterBalancer(
            set, of: cluster, owner === self.service ? nil : owner, near: self.rules.governance.region, balancing,
            counters: counters,
            tickets: index == 0 ? nil : self.policy.tickets[index - 1], tls: worker.tls, turn: self.turns[place],
            loads: loads,
            rings: balancing.strategy.isHashed ? (self.policy.rings, place) : nil,
            at: worker.now, using: &worker.random)
        self.clusters[place] = made
        return made
    }

    /// What is known of the instances that a cluster has.
    private var usedLoads: [ObjectIdentifier: EndpointLoad] {
        var loads: [ObjectIdentifier: EndpointLoad] = [:]
        for load in self.clusters.lazy.compactMap({ $0 }).flatMap(\.loads) {
            loads[ObjectIdentifier(load.endpoint)] = load
        }
        return loads
    }

    /// The same for every cluster that an endpoint is in.
    private func load(of endpoint: Endpoint, _ loop: Int) -> EndpointLoad {
        if let load = self.loads[ObjectIdentifier(endpoint)] { return load }
        let load = EndpointLoad(endpoint, endpoint.traffic.shard(of: loop))
        self.loads[ObjectIdentifier(endpoint)] = load
        return load
    }
}

// MARK: What a predecessor leaves

extension ServiceState {
    /// What tells the split of one route from those of others: a split goes on as long as there is a route with these
    /// targets.
    private struct SplitKey: Hashable {
        let precedence: Int
        let weights: [Int]
        /// Which of several routes that are alike, such as those of one with several matches.
        var number = 0
        let name: String?
        /// `nil` for targets that answer.
        let clusters: [Cluster?]

        init(_ route: Route, _ host: VirtualHost) {
            self.precedence = route.precedence
            self.weights = route.targets.map(\.weight)
            self.name = route.name
            self.clusters = route.targets.map { host.cluster(of: $0) }
        }
    }

    private static func splits(_ host: VirtualHost?, upon old: ServiceState?) -> [WeightedSplit?] {
        guard let host else { return [] }
        if let old, old.policy.host === host { return old.splits }
        var known: [SplitKey: WeightedSplit] = [:]
        if let old, let oldHost = old.policy.host {
            for (route, split) in zip(oldHost.routes, old.splits) {
                var key = SplitKey(route, oldHost)
                while known[key] != nil { key.number += 1 }
                known[key] = split
            }
        }
        var taken: Set<SplitKey> = []
        return host.routes.map { route in
            guard route.targets.count > 1 else { return nil }
            var key = SplitKey(route, host)
            while !taken.insert(key).inserted { key.number += 1 }
            return known[key] ?? WeightedSplit(route.targets.map(\.weight))
        }
    }

    private static func turns(
        _ host: VirtualHost?, upon old: ServiceState?, using random: inout FastRandom
    ) -> [BalancerTurn] {
        let count = 1 + (host?.clusters.count ?? 0)
        let places = old.map { Self.places(of: host, in: $0.policy.host) } ?? []
        return (0..<2 * count).map { place in
            let index = place % count
            guard let old, let known = index < places.count ? places[index] : nil else {
                // Anywhere, so that many sidecars do not all begin with the same instance.
                return BalancerTurn(RoundRobin(startingAt: .random(in: 0..<1 << 16, using: &random)))
            }
            let oldPlace = place < count ? known : known + old.clusters.count / 2
            return old.clusters[oldPlace]?.turn ?? old.turns[oldPlace]
        }
    }

    /// Where the old routes have the default endpoints and the clusters of the new ones; `nil` for those that they have not.
    private static func places(of host: VirtualHost?, in old: VirtualHost?) -> [Int?] {
        let clusters = host?.clusters ?? []
        if host === old { return Array(0...clusters.count) }
        let known = Dictionary(
            (old?.clusters ?? []).enumerated().map { ($0.element, $0.offset + 1) },
            uniquingKeysWith: { first, _ in first })
        return [0] + clusters.map { known[$0] }
    }

    /// Of the instances that are still there; what others leave is kept only by the requests that they serve.
    private static func loads(
        of service: Service, _ host: VirtualHost?, upon old: ServiceState?
    ) -> [ObjectIdentifier: EndpointLoad] {
        guard let old, !old.loads.isEmpty else { return [:] }
        // Which instances there are is another service's business.
        if host?.leadsElsewhere == true { return old.usedLoads }
        if old.service === service { return old.loads }
        var loads: [ObjectIdentifier: EndpointLoad] = [:]
        loads.reserveCapacity(old.loads.count)
        for instance in service.instances {
            for endpoint in instance.endpoints {
                loads[ObjectIdentifier(endpoint)] = old.loads[ObjectIdentifier(endpoint)]
            }
        }
        return loads
    }

    /// How many instances something is known of.
    var loadCount: Int { self.loads.count }
}
