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
    /// What `policy` is a part of.
    package internal(set) var governance: Governance
    /// Retries are a share of the requests; the same object until that share is another one.
    package let budget: RetryBudget
    /// One for each route rule that has several targets.
    private var splits: [WeightedSplit?]
    /// The default endpoints, then those of the subsets of the route rules; first those of HTTP, then the same of gRPC.
    private var subsets: [EndpointSubset?]
    /// Where each of these begins when it is made.
    private let turns: [BalancerTurn]
    private var loads: [ObjectIdentifier: EndpointLoad]
    /// Counts the requests of each target of each rule.
    private let hits: [[Counter]]

    /// - Parameter loops: How many event loops share what is allowed to the process.
    init(
        _ service: Service, _ policy: ServicePolicy, _ governance: Governance, _ counters: RequestCounters,
        loop: Int, of loops: Int, upon old: ServiceState?, using random: inout FastRandom
    ) {
        self.hits = policy.routes?.hits.shard(of: loop) ?? []
        self.service = service
        self.policy = policy
        self.governance = governance
        self.counters = counters
        self.timeout = policy.resilience.timeout.map { TimeAmount($0) }
        let percent = policy.retry.budgetPercent
        let known = old.flatMap { $0.policy.retry.budgetPercent == percent ? $0.budget : nil }
        self.budget = known ?? RetryBudget(percent: percent, loops: loops)
        self.splits = Self.splits(policy.routes, upon: old)
        self.subsets = Array(repeating: nil, count: 2 * (1 + (policy.routes?.subsets.count ?? 0)))
        self.turns = Self.turns(policy.routes, upon: old, using: &random)
        self.loads = Self.loads(of: service, upon: old)
    }

    /// The target of a route rule whose turn it is.
    package func target(of rule: Int) -> RouteTarget? {
        guard let routes = self.policy.routes else { return nil }
        let target = self.splits[rule]?.next() ?? 0
        self.hits[rule][target].add()
        return routes.rules[rule].targets[target]
    }

    /// The endpoints that a request may go to.
    ///
    /// - Parameter index: 0 for the default endpoints, else one more than that of the subset of the route rules.
    /// - Parameter isGRPC: Whether the endpoints must speak gRPC.
    package func subset(_ index: Int, isGRPC: Bool, _ worker: Worker) -> EndpointSubset {
        let place = isGRPC ? index &+ self.subsets.count / 2 : index
        return self.subsets[place] ?? self.makeSubset(index, isGRPC, at: place, worker)
    }

    private func makeSubset(_ index: Int, _ isGRPC: Bool, at place: Int, _ worker: Worker) -> EndpointSubset {
        let caller = self.governance.caller
        let set: EndpointSet
        if index == 0, !isGRPC, self.policy.region == nil {
            set = self.service.defaultEndpoints
        } else {
            let tags = index == 0 ? InstanceTags() : self.policy.routes?.subsets[index - 1] ?? InstanceTags()
            set = self.service.endpoints(
                matching: tags, ownApp: caller.app, near: self.policy.region, protocolName: isGRPC ? "grpc" : "rest")
        }
        let counters = worker.metrics.counters(
            .service(self.service.name, app: set.tags.app, version: set.tags.version))
        let loads = set.endpoints.map { self.load(of: $0, worker.index) }
        let subset = EndpointSubset(
            set, self.policy.balancing, counters: counters, turn: self.turns[place], loads: loads, at: worker.now)
        self.subsets[place] = subset
        return subset
    }

    /// The same for all subsets that an endpoint is in.
    private func load(of endpoint: Endpoint, _ loop: Int) -> EndpointLoad {
        if let load = self.loads[ObjectIdentifier(endpoint)] { return load }
        let load = EndpointLoad(endpoint, endpoint.traffic.shard(of: loop))
        self.loads[ObjectIdentifier(endpoint)] = load
        return load
    }
}

// MARK: What a predecessor leaves

extension ServiceState {
    /// What tells the split of one rule from those of others: a split goes on as long as there is a rule with these targets.
    private struct SplitKey: Hashable {
        let precedence: Int
        let weights: [Int]
        let tags: [InstanceTags]

        init(_ rule: RouteRule, _ routes: ServiceRoutes) {
            self.precedence = rule.precedence
            self.weights = rule.targets.map(\.weight)
            self.tags = rule.targets.map { routes.subsets[$0.subset] }
        }
    }

    private static func splits(_ routes: ServiceRoutes?, upon old: ServiceState?) -> [WeightedSplit?] {
        guard let routes else { return [] }
        if let old, old.policy.routes === routes { return old.splits }
        var known: [SplitKey: WeightedSplit] = [:]
        if let old, let rules = old.policy.routes {
            for (rule, split) in zip(rules.rules, old.splits) { known[SplitKey(rule, rules)] = split }
        }
        return routes.rules.map { rule in
            guard rule.targets.count > 1 else { return nil }
            return known.removeValue(forKey: SplitKey(rule, routes)) ?? WeightedSplit(rule.targets.map(\.weight))
        }
    }

    private static func turns(
        _ routes: ServiceRoutes?, upon old: ServiceState?, using random: inout FastRandom
    ) -> [BalancerTurn] {
        let count = 1 + (routes?.subsets.count ?? 0)
        let places = old.map { Self.places(of: routes, in: $0.policy.routes) } ?? []
        return (0..<2 * count).map { place in
            let index = place % count
            guard let old, let known = index < places.count ? places[index] : nil else {
                // Anywhere, so that many sidecars do not all begin with the same instance.
                return BalancerTurn(RoundRobin(startingAt: .random(in: 0..<1 << 16, using: &random)))
            }
            let oldPlace = place < count ? known : known + old.subsets.count / 2
            return old.subsets[oldPlace]?.turn ?? old.turns[oldPlace]
        }
    }

    /// Where the old rules have the default endpoints and the subsets of the new ones; `nil` for those that they have not.
    private static func places(of routes: ServiceRoutes?, in old: ServiceRoutes?) -> [Int?] {
        let tags = routes?.subsets ?? []
        if routes === old { return Array(0...tags.count) }
        let known = Dictionary(
            (old?.subsets ?? []).enumerated().map { ($0.element, $0.offset + 1) },
            uniquingKeysWith: { first, _ in first })
        return [0] + tags.map { known[$0] }
    }

    /// Of the instances that are still there; what others leave is kept only by the requests that they serve.
    private static func loads(of service: Service, upon old: ServiceState?) -> [ObjectIdentifier: EndpointLoad] {
        guard let old, !old.loads.isEmpty else { return [:] }
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
