// SPDX-License-Identifier: Apache-2.0
// request path

package import Common
package import NIOCore
import TLS

/// Endpoints that are interchangeable for one request, and what one event loop needs to choose among them.
package final class ClusterBalancer {
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
    /// When an endpoint is left alone; `nil` for what ``ClusterSettings/outliers`` says.
    package let outliers: ClusterOutliers?
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
    /// Whose turn it is by these.
    private var shareTurn: EndpointShares.Turn?
    /// Whether a control plane has assigned the endpoints: rather none than one that is ejected or said to be unhealthy.
    package let isAssigned: Bool
    /// Which of them are said to be unhealthy; empty where none is.
    private let isUnhealthy: [Bool]
    private var next: RoundRobin
    private var speeds: WeightedResponse
    /// Where endpoints are found by hash; `nil` where they are not.
    let ring: SharedRing?
    /// The same, once it is there.
    private var made: HashTable?
    private lazy var places = Dictionary(
        self.set.endpoints.enumerated().map { ($0.element.description, $0.offset) },
        uniquingKeysWith: { first, _ in first })

    /// - Parameter foreign: See ``foreign``.
    /// - Parameter own: Where this process is.
    /// - Parameter rings: Where tables of hashes are found, and which of them is meant; `nil` for none.
    /// - Parameter random: For where turns begin.
    init(
        _ set: EndpointSet, of cluster: Cluster?, _ foreign: Service?, near own: RegionConfig,
        _ policy: BalancingPolicy,
        counters: RequestCounters, tickets: ClusterTickets?, tls: TLSContexts, turn: BalancerTurn,
        loads: [EndpointLoad], rings: (SharedRings, place: Int)?, at now: NIODeadline,
        using random: inout FastRandom
    ) {
        self.set = set
        self.cluster = cluster
        self.foreign = foreign
        self.tickets = tickets
        self.scope = ConnectionScope(cluster, tickets, tls, entries: set.entries)
        let settings = cluster?.settings
        self.port = (settings?.port).map { Int($0) } ?? 0
        self.panicThreshold = settings?.panicThreshold ?? 0
        self.outliers = settings?.outliers
        self.connectLimit = (settings?.connectTimeout).map { TimeAmount($0) }
        var entries = set.entries ?? []
        if case .fixed(let fixed)? = cluster?.members { entries = fixed }
        if entries.count != set.endpoints.count { entries = [] }
        let isAssigned = set.entries != nil
        self.isAssigned = isAssigned
        let hosts = entries.map { entry in entry.host.map { HeaderLine("Host", $0) } }
        self.hosts = hosts.contains { $0 != nil } ? hosts : []
        let localities = settings?.localityWeights ?? []
        let shares = EndpointShares(
            entries, near: isAssigned ? nil : own, localities: localities.isEmpty ? set.localityWeights : localities,
            overprovisioning: set.overprovisioning)
        self.shares = shares
        if let shares, let old = turn.shares, old.members.elementsEqual(set.endpoints, by: ===), shares.goesOn(old.turn)
        {
            self.shareTurn = old.turn
        } else {
            self.shareTurn = shares?.turn(using: &random)
        }
        let isUnhealthy = entries.map { $0.condition == .unhealthy }
        self.isUnhealthy = isUnhealthy.contains(true) ? isUnhealthy : []
        self.policy = policy
        self.ring = rings.flatMap { rings, place in
            Self.layout(policy.strategy, shares, settings, of: set.endpoints.count).map {
                rings.ring(of: set.endpoints, $0, at: place)
            }
        }
        self.counters = counters
        self.next = turn.next
        self.loads = loads
        self.speeds =
            turn.speeds.map { old in
                WeightedResponse(upon: old, count: loads.count) { loads[$0].latest.mean }
            } ?? WeightedResponse(at: now)
    }

    /// How endpoints are found by hash; `nil` where they are not.
    private static func layout(
        _ strategy: BalancingPolicy.Strategy, _ shares: EndpointShares?, _ settings: ClusterSettings?, of count: Int
    ) -> HashLayout? {
        func parts() -> [Double] { shares?.partsOfTiers ?? Array(repeating: 1, count: count) }
        switch strategy {
        case .ringHash:
            return .ring(
                parts(), least: settings?.ringSize.lowerBound ?? 0,
                most: settings?.ringSize.upperBound ?? ClusterSettings.usualRing.upperBound)
        case .maglev: return .maglev(size: settings?.tableSize ?? MaglevTable.usualSize, parts: parts())
        case .roundRobin, .random, .weightedResponse, .sessionStickiness, .leastRequest, .peakEWMA: return nil
        }
    }

    /// What a request with a hash waits for before an endpoint is chosen; `nil` for nothing, nearly always.
    ///
    /// Whom a table of Maglev means only the table itself can tell: the first one is waited for.
    @inline(__always)
    package func preparation(on loop: any EventLoop) -> EventLoopFuture<Void>? {
        guard self.policy.strategy == .maglev, self.made == nil, let ring = self.ring else { return nil }
        self.made = ring.table
        return self.made != nil || ring.interim != nil ? nil : ring.whenMade(on: loop)
    }

    /// What a balancer that takes the place of this one begins with.
    var turn: BalancerTurn {
        var turn = BalancerTurn(self.next)
        if self.policy.strategy == .weightedResponse { turn.speeds = self.speeds }
        turn.shares = self.shareTurn.map { ($0, self.set.endpoints) }
        return turn
    }

    /// An instance by the strategy.
    ///
    /// What an instance that may not be chosen would have got is spread over all others, not left to its neighbour.
    ///
    /// Cost: that of the strategy, and one question as long as the choice may be had.
    ///
    /// - Parameter hash: Of the value that ``BalancingPolicy/Strategy/ringHash`` goes by.
    /// - Parameter isEligible: Whether an instance may be chosen now; where none may, any is from which no operator holds
    ///   requests back.
    /// - Parameter failed: Those that have failed this very request.
    /// - Returns: An index; `nil` when there are no instances, or all are withheld.
    package func pick(
        hash: UInt64?, at now: NIODeadline, using random: inout FastRandom, besides failed: [Endpoint] = [],
        isEligible: (Endpoint) -> Bool
    ) -> Int? {
        if self.panicThreshold > 0, self.isPanicking(at: now) {
            // Ejected ones are as good as others then; what has failed this very request is not.
            return self.pick(hash, now, &random) { endpoint in
                isEligible(endpoint)
                    || endpoint.health.isEjected(at: now) && !endpoint.health.isWithheld
                        && !failed.contains { $0 === endpoint }
            }
        }
        return self.pick(hash, now, &random, isEligible)
    }

    /// Whether so few may be chosen that they would not bear the requests of all.
    ///
    /// What an operator has withheld is no part of those that there are.
    ///
    /// Cost: a look at each endpoint.
    ///
    /// - Source: the panic threshold of Envoy's load balancing.
    private func isPanicking(at now: NIODeadline) -> Bool {
        var (left, count) = (0, 0)
        for index in self.set.endpoints.indices where !self.isWithheld(index) {
            count += 1
            if self.isUp(index, at: now) { left += 1 }
        }
        guard left * 100 < count * self.panicThreshold else { return false }
        // Other priorities may bear it.
        return self.shares?.isShort { self.isUp($0, at: now) } ?? true
    }

    @inline(__always)
    private func isWithheld(_ index: Int) -> Bool { self.set.endpoints[index].health.isWithheld }

    @inline(__always)
    private func isUp(_ index: Int, at now: NIODeadline) -> Bool {
        !self.set.endpoints[index].health.isEjected(at: now) && (self.isUnhealthy.isEmpty || !self.isUnhealthy[index])
    }

    /// One of assigned endpoints, by the strategy and their weights.
    ///
    /// - Parameter hash: Where the strategy goes by one, any is taken in its place.
    /// - Parameter failed: Those that have failed this very request: used where there are no others of the same priority.
    /// - Returns: An index; `nil` when all are ejected or unhealthy, unless these are used because so few are left, or when
    ///   all are withheld.
    package func pickAssigned(
        hash: UInt64?, at now: NIODeadline, using random: inout FastRandom, besides failed: [Endpoint]
    ) -> Int? {
        let usesAll = self.panicThreshold > 0 && self.isPanicking(at: now)
        let hash = hash ?? (self.policy.strategy.isHashed ? random.next() : nil)
        func isUp(_ index: Int) -> Bool { usesAll ? !self.isWithheld(index) : self.isUp(index, at: now) }
        func isFresh(_ index: Int) -> Bool {
            isUp(index) && (failed.isEmpty || !failed.contains { $0 === self.set.endpoints[index] })
        }
        if let shares = self.shares {
            return self.pick(shares, hash, now, &random, isUp: isUp, isFresh: isFresh)
        }
        guard let first = self.choose(hash, now, &random) else { return nil }
        if isFresh(first) { return first }
        if let other = self.chooseAgain(hash, now, &random, where: isFresh) { return other }
        return isUp(first) ? first : failed.isEmpty ? nil : self.chooseAgain(hash, now, &random, where: isUp)
    }

    /// The same where they are not all alike.
    private func pick(
        _ shares: EndpointShares, _ hash: UInt64?, _ now: NIODeadline, _ random: inout FastRandom,
        isUp: (Int) -> Bool, isFresh: (Int) -> Bool
    ) -> Int? {
        if let hash {
            // The same for equal values.
            var draws = FastRandom(seed: hash)
            let tier = shares.tier(using: &draws, isUp)
            func isLeft(_ index: Int) -> Bool { shares.isIn(tier, index) && isFresh(index) }
            // Else all points of the ring would be looked at for nothing.
            if self.set.endpoints.indices.contains(where: isLeft) { return self.pickOnRing(hash, where: isLeft) }
            func isThere(_ index: Int) -> Bool { shares.isIn(tier, index) && isUp(index) }
            guard self.set.endpoints.indices.contains(where: isThere) else { return nil }
            return self.pickOnRing(hash, where: isThere)
        }
        return self.pick(shares, now, &random, from: shares.tier(using: &random, isUp), where: isFresh)
            ?? self.pick(shares, now, &random, from: shares.tier(using: &random, isUp), where: isUp)
    }

    /// The same in turn, by weight, as far as the strategy has no other idea.
    private func pick(
        _ shares: EndpointShares, _ now: NIODeadline, _ random: inout FastRandom, from tier: Int,
        where isEligible: (Int) -> Bool
    ) -> Int? {
        guard var turn = self.shareTurn.take() else { return nil }
        defer { self.shareTurn = turn }
        switch self.policy.strategy {
        case .random:
            let place = shares.place(of: tier, &turn, isEligible)
            return shares.draw(from: tier, in: place, using: &random, where: isEligible)
        case .leastRequest where !shares.areWeightsEven:
            // As Envoy: the weight is worth less with each request under way.
            return shares.pick(from: tier, &turn, where: isEligible) { Double(1 + max(0, self.loads[$0].outstanding)) }
        case .leastRequest, .peakEWMA:
            let place = shares.place(of: tier, &turn, isEligible)
            guard let one = shares.draw(from: tier, in: place, using: &random, where: isEligible),
                let other = shares.draw(from: tier, in: place, using: &random, where: isEligible)
            else { return nil }
            return self.load(of: other, shares, now) < self.load(of: one, shares, now) ? other : one
        case .roundRobin, .weightedResponse, .sessionStickiness, .ringHash, .maglev:
            return shares.pick(from: tier, &turn, where: isEligible)
        }
    }

    private func load(of index: Int, _ shares: EndpointShares, _ now: NIODeadline) -> Double {
        let load =
            self.policy.strategy == .leastRequest
            ? Double(self.loads[index].outstanding) : self.cost(of: index, at: now)
        return load / Double(max(1, shares.weight(of: index)))
    }

    @inline(__always)
    private func pick(
        _ hash: UInt64?, _ now: NIODeadline, _ random: inout FastRandom, _ isEligible: (Endpoint) -> Bool
    ) -> Int? {
        if let shares = self.shares {
            func isChosen(_ index: Int) -> Bool { isEligible(self.set.endpoints[index]) }
            func isAny(_ index: Int) -> Bool { !self.isWithheld(index) }
            return self.pick(shares, hash, now, &random, isUp: isChosen, isFresh: isChosen)
                ?? self.pick(shares, hash, now, &random, isUp: isAny, isFresh: isAny)
        }
        guard let first = self.choose(hash, now, &random) else { return nil }
        if isEligible(self.set.endpoints[first]) { return first }
        return self.chooseAgain(hash, now, &random) { isEligible(self.set.endpoints[$0]) }
            ?? (self.isWithheld(first) ? self.chooseAgain(hash, now, &random) { !self.isWithheld($0) } : first)
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
        case .ringHash, .maglev:
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
        case .ringHash, .maglev:
            guard let hash else { return self.next.pick(of: count, where: isEligible) }
            // Else all points of the ring would be looked at for nothing.
            guard (0..<count).contains(where: isEligible) else { return nil }
            return self.pickOnRing(hash, where: isEligible)
        }
    }

    /// The same whether the table is there or still being made.
    private func pickOnRing(_ hash: UInt64, where isEligible: (Int) -> Bool) -> Int? {
        if self.made == nil { self.made = self.ring?.table }
        if let made = self.made { return made.pick(hash, where: isEligible) }
        if let interim = self.ring?.interim, let index = interim.pick(hash, where: isEligible) { return index }
        let layout = self.ring?.layout
        return HashRing.pick(
            hash, of: self.loads.count, seed: { self.loads[$0].ringSeed },
            points: { layout?.points(of: $0) ?? HashRing.points }, where: isEligible)
    }

    private func cost(of index: Int, at now: NIODeadline) -> Double {
        self.loads[index].latency.cost(outstanding: self.loads[index].outstanding, at: now)
    }

    /// Whether somebody has to be told how long answers take, and how many are missing.
    package var countsLoad: Bool {
        switch self.policy.strategy {
        case .weightedResponse, .leastRequest, .peakEWMA: true
        case .roundRobin, .random, .sessionStickiness, .ringHash, .maglev: false
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

    /// How many there are from which no operator holds requests back.
    package var availableCount: Int { self.set.endpoints.count { !$0.health.isWithheld } }

    /// Whether one more of the endpoints may be left out.
    package func mayEject(at now: NIODeadline, maxPercent: Int) -> Bool {
        let (ejected, count) = self.ejections(at: now)
        return EndpointHealth.mayEject(ejected: ejected, of: count, maxPercent: maxPercent)
    }

    /// The same where the cluster says when.
    package func mayEject(at now: NIODeadline, by outliers: ClusterOutliers) -> Bool {
        let (ejected, count) = self.ejections(at: now)
        return outliers.mayEject(ejected: ejected, of: count)
    }

    /// How many are ejected of how many from which no operator holds requests back.
    private func ejections(at now: NIODeadline) -> (ejected: Int, count: Int) {
        var (ejected, count) = (0, 0)
        for endpoint in self.set.endpoints where !endpoint.health.isWithheld {
            count += 1
            if endpoint.health.isEjected(at: now) { ejected += 1 }
        }
        return (ejected, count)
    }
}
