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
    /// Retries are a share of the requests.
    package var budget: RetryBudget
    /// One for each route rule that has several targets.
    private var splits: [WeightedSplit?]
    /// The default endpoints, then those of the subsets of the route rules.
    private var subsets: [EndpointSubset?]
    private var turns: [RoundRobin]
    private var loads: [ObjectIdentifier: EndpointLoad]
    /// Counts the requests of each target of each rule.
    private let hits: [[Counter]]

    init(
        _ service: Service, _ policy: ServicePolicy, _ governance: Governance, _ counters: RequestCounters,
        loop: Int, upon old: ServiceState?, using random: inout FastRandom
    ) {
        self.hits = policy.routes?.hits.shard(of: loop) ?? []
        self.service = service
        self.policy = policy
        self.governance = governance
        self.counters = counters
        self.timeout = policy.resilience.timeout.map { TimeAmount($0) }
        let routes = policy.routes
        let old = old.flatMap { $0.policy.routes === routes ? $0 : nil }
        self.splits =
            old?.splits
            ?? (routes?.rules ?? []).map { $0.targets.count > 1 ? WeightedSplit($0.targets.map(\.weight)) : nil }
        // Those of HTTP first, then the same of gRPC.
        let count = 2 * (1 + (routes?.subsets.count ?? 0))
        self.subsets = Array(repeating: nil, count: count)
        // Anywhere, so that many sidecars do not all begin with the same instance.
        self.turns =
            old.map { state in zip(state.turns, state.subsets).map { $1?.turn ?? $0 } }
            ?? (0..<count).map { _ in RoundRobin(startingAt: .random(in: 0..<1 << 16, using: &random)) }
        self.loads = old?.loads ?? [:]
        self.budget = RetryBudget(percent: policy.retry.budgetPercent)
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
