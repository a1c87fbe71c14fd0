// SPDX-License-Identifier: Apache-2.0
// request path

package import Common
package import NIOCore
import TLS

/// Endpoints that are interchangeable for one request, and what one event loop needs to choose among them.
package final class EndpointSubset {
    /// The endpoints.
    package let set: EndpointSet
    /// How to choose.
    package let policy: BalancingPolicy
    /// Counts the answers.
    package let counters: RequestCounters
    /// In the order of the endpoints.
    package let loads: [EndpointLoad]
    /// What they are the endpoints of; `nil` for a service's default ones.
    package let cluster: Cluster?
    // A cluster is a large value: what every request asks of it stands beside it.
    /// The port that is called in place of the endpoints' own; 0 for none.
    package let port: Int
    private let panicThreshold: Int
    /// The longest time to connect; `nil` for the listener's.
    let connectLimit: TimeAmount?
    /// Whose instances they are, where not those of the called service; `nil` where that is not known.
    package let foreign: Service?
    /// Counts what is under way, where the cluster limits it.
    package let tickets: ClusterTickets?
    /// What it says of the connections; `nil` for nothing.
    let scope: ConnectionScope?
    /// What `Host` says for each of them; empty where none wants anything.
    package let hosts: [HeaderLine?]
    /// Weights, priorities and distances; `nil` where all endpoints are the same.
    private let shares: EndpointShares?
    private var next: RoundRobin
    private var speeds: WeightedResponse
    private let ring: SharedRing?
    /// The same, once it is there.
    private var made: HashRing?
    private lazy var places = Dictionary(
        self.set.endpoints.enumerated().map { ($0.element.description, $0.offset) },
        uniquingKeysWith: { first, _ in first })

    /// - Parameter foreign: See ``foreign``.
    /// - Parameter own: Where this process is.
    init(
        _ set: EndpointSet, of cluster: Cluster?, _ foreign: Service?, near own: RegionConfig,
        _ policy: BalancingPolicy,
        counters: RequestCounters, tickets: ClusterTickets?, tls: TLSContexts, turn: BalancerTurn,
        loads: [EndpointLoad], ring: SharedRing?, at now: NIODeadline
    ) {
        self.set = set
        self.cluster = cluster
        self.foreign = foreign
        self.tickets = tickets
        self.scope = ConnectionScope(cluster, tickets, tls)
        let settings = cluster?.settings
        self.port = (settings?.port).map { Int($0) } ?? 0
        self.panicThreshold = settings?.panicThreshold ?? 0
        self.connectLimit = (settings?.connectTimeout).map { TimeAmount($0) }
        if case .fixed(let entries)? = cluster?.members, entries.count == set.endpoints.count {
            let hosts = entries.map { entry in entry.host.map { HeaderLine("Host", $0) } }
            self.hosts = hosts.contains { $0 != nil } ? hosts : []
            self.shares = EndpointShares(entries, near: own, localities: settings?.localityWeights ?? [])
        } else {
            self.hosts = []
            self.shares = nil
        }
        self.ring = ring
        self.policy = policy
        self.counters = counters
        self.next = turn.next
        self.loads = loads
        self.speeds =
            turn.speeds.map { old in
                WeightedResponse(upon: old, count: loads.count) { loads[$0].latest.mean }
            } ?? WeightedResponse(at: now)
    }

    /// What a subset that takes the place of this one begins with.
    var turn: BalancerTurn {
        var turn = BalancerTurn(self.next)
        if self.policy.strategy == .weightedResponse { turn.speeds = self.speeds }
        return turn
    }

    /// An instance by the strategy.
    ///
    /// What an instance that may not be chosen would have got is spread over all others, not left to its neighbour.
    ///
    /// Cost: that of the strategy, and one question as long as the choice may be had.
    ///
    /// - Parameter hash: Of the value that ``BalancingPolicy/Strategy/ringHash`` goes by.
    /// - Parameter isEligible: Whether an instance may be chosen now; where none may, any is.
    /// - Parameter failed: Those that have failed this very request.
    /// - Returns: An index; `nil` when there are no instances.
    package func pick(
        hash: UInt64?, at now: NIODeadline, using random: inout FastRandom, besides failed: [Endpoint] = [],
        isEligible: (Endpoint) -> Bool
    ) -> Int? {
        if self.panicThreshold > 0, self.isPanicking(at: now) {
            // Ejected ones are as good as others then; what has failed this very request is not.
            return self.pick(hash, now, &random) { endpoint in
                isEligible(endpoint) || endpoint.health.isEjected(at: now) && !failed.contains { $0 === endpoint }
            }
        }
        return self.pick(hash, now, &random, isEligible)
    }

    /// Whether so few may be chosen that they would not bear the requests of all.
    ///
    /// Cost: a look at each endpoint.
    ///
    /// - Source: the panic threshold of Envoy's load balancing.
    private func isPanicking(at now: NIODeadline) -> Bool {
        let left = self.set.endpoints.count { !$0.health.isEjected(at: now) }
        guard left * 100 < self.set.endpoints.count * self.panicThreshold else { return false }
        // Other priorities may bear it.
        return self.shares?.isShort { !self.set.endpoints[$0].health.isEjected(at: now) } ?? true
    }

    @inline(__always)
    private func pick(
        _ hash: UInt64?, _ now: NIODeadline, _ random: inout FastRandom, _ isEligible: (Endpoint) -> Bool
    ) -> Int? {
        if let shares = self.shares, hash == nil {
            return shares.pick(using: &random) { isEligible(self.set.endpoints[$0]) }
                ?? shares.pick(using: &random) { _ in true }
        }
        guard let first = self.choose(hash, now, &random) else { return nil }
        if isEligible(self.set.endpoints[first]) { return first }
        return self.chooseAgain(hash, now, &random) { isEligible(self.set.endpoints[$0]) } ?? first
    }

    private func choose(_ hash: UInt64?, _ now: NIODeadline, _ random: inout FastRandom) -> Int? {
        let count = self.loads.count
        switch self.policy.strategy {
        case .roundRobin, .sessionStickiness: return self.next.pick(of: count)
        case .random: return RandomChoice.pick(of: count, using: &random)
        case .weightedResponse:
            return self.speeds.pick(of: count, at: now, using: &random, turn: &self.next) { self.loads[$0].latest.mean }
        case .leastRequest: return LeastRequest.pick(of: count, using: &random) { self.loads[$0].outstanding }
        case .peakEWMA: return LeastRequest.pick(of: count, using: &random) { self.cost(of: $0, at: now) }
        case .ringHash:
            guard let hash else { return self.next.pick(of: count) }
            return self.pickOnRing(hash) { _ in true }
        }
    }

    /// The same among those that may be chosen; `nil` when none may.
    @inline(never)
    private func chooseAgain(
        _ hash: UInt64?, _ now: NIODeadline, _ random: inout FastRandom, where isEligible: (Int) -> Bool
    ) -> Int? {
        let count = self.loads.count
        switch self.policy.strategy {
        case .roundRobin, .sessionStickiness, .weightedResponse: return self.next.pick(of: count, where: isEligible)
        case .random: return RandomChoice.pick(of: count, using: &random, where: isEligible)
        case .leastRequest:
            return LeastRequest.pick(of: count, using: &random, where: isEligible) { self.loads[$0].outstanding }
        case .peakEWMA:
            return LeastRequest.pick(of: count, using: &random, where: isEligible) { self.cost(of: $0, at: now) }
        case .ringHash:
            guard let hash else { return self.next.pick(of: count, where: isEligible) }
            // Else all points of the ring would be looked at for nothing.
            guard (0..<count).contains(where: isEligible) else { return nil }
            return self.pickOnRing(hash, where: isEligible)
        }
    }

    /// The same whether the ring is there or still being made.
    private func pickOnRing(_ hash: UInt64, where isEligible: (Int) -> Bool) -> Int? {
        if self.made == nil { self.made = self.ring?.ring }
        if let made = self.made { return made.pick(hash, where: isEligible) }
        return HashRing.pick(hash, of: self.loads.count, seed: { self.loads[$0].ringSeed }, where: isEligible)
    }

    private func cost(of index: Int, at now: NIODeadline) -> Double {
        self.loads[index].latency.cost(outstanding: self.loads[index].outstanding, at: now)
    }

    /// Whether somebody has to be told how long answers take, and how many are missing.
    package var countsLoad: Bool {
        switch self.policy.strategy {
        case .weightedResponse, .leastRequest, .peakEWMA: true
        case .roundRobin, .random, .sessionStickiness, .ringHash: false
        }
    }

    /// The instance at `index` has answered.
    package func observe(_ latency: Duration, of index: Int, at now: NIODeadline) {
        if self.policy.strategy == .weightedResponse { self.loads[index].latest.add(latency) }
        if self.policy.strategy == .peakEWMA { self.loads[index].latency.observe(latency, at: now) }
    }

    /// A request to the instance at `index` has failed after `time`.
    package func observeFailure(after time: Duration, of index: Int, at now: NIODeadline) {
        if self.policy.strategy == .weightedResponse { self.loads[index].latest.addFailure(after: time) }
        if self.policy.strategy == .peakEWMA { self.loads[index].latency.fail(after: time, at: now) }
    }

    /// The place of the endpoint that is described so; `nil` when it is none of these.
    package func index(of description: String) -> Int? { self.places[description] }

    /// Whether no more of the endpoints may be left out.
    package func mayEject(at now: NIODeadline, maxPercent: Int) -> Bool {
        let ejected = self.set.endpoints.count { $0.health.isEjected(at: now) }
        return EndpointHealth.mayEject(ejected: ejected, of: self.set.endpoints.count, maxPercent: maxPercent)
    }
}
