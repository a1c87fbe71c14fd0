// SPDX-License-Identifier: Apache-2.0
// request path

package import Common
package import NIOCore

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
    private(set) var turn: RoundRobin
    private var speeds: WeightedResponse
    private lazy var ring = HashRing(self.set.endpoints.map(\.description))

    init(
        _ set: EndpointSet, _ policy: BalancingPolicy, counters: RequestCounters, turn: RoundRobin,
        loads: [EndpointLoad], at now: NIODeadline
    ) {
        self.set = set
        self.policy = policy
        self.counters = counters
        self.turn = turn
        self.loads = loads
        self.speeds = WeightedResponse(count: loads.count, at: now)
    }

    /// An instance by the strategy.
    ///
    /// - Parameter hash: Of the value that ``BalancingPolicy/Strategy/ringHash`` goes by.
    /// - Parameter isEligible: Whether an instance may be chosen now; where none may, any is.
    /// - Returns: An index; `nil` when there are no instances.
    package func pick(
        hash: UInt64?, at now: NIODeadline, using random: inout FastRandom, isEligible: (Endpoint) -> Bool
    ) -> Int? {
        let count = self.set.endpoints.count
        guard let first = self.choose(count, hash, now, &random) else { return nil }
        if isEligible(self.set.endpoints[first]) { return first }
        for offset in 1..<max(count, 1) {
            let index = (first + offset) % count
            if isEligible(self.set.endpoints[index]) {
                // Whoever follows in turn must not get this one's share as well as its own.
                self.turn.skip(offset)
                return index
            }
        }
        return first
    }

    private func choose(_ count: Int, _ hash: UInt64?, _ now: NIODeadline, _ random: inout FastRandom) -> Int? {
        switch self.policy.strategy {
        case .roundRobin, .sessionStickiness: return self.turn.pick(of: count)
        case .random: return count > 0 ? Int(random.next(upperBound: UInt(count))) : nil
        case .weightedResponse: return self.speeds.pick(of: count, at: now, using: &random, turn: &self.turn)
        case .leastRequest:
            return LeastRequest.pick(of: count, using: &random) { self.loads[$0].outstanding }
        case .peakEWMA:
            return LeastRequest.pick(of: count, using: &random) { index in
                self.loads[index].latency.cost(outstanding: self.loads[index].outstanding, at: now)
            }
        case .ringHash:
            guard let hash else { return self.turn.pick(of: count) }
            return self.ring.pick(hash)
        }
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
        if self.policy.strategy == .weightedResponse { self.speeds.observe(index, latency) }
        if self.policy.strategy == .peakEWMA { self.loads[index].latency.observe(latency, at: now) }
    }

    /// Whether no more of the endpoints may be left out.
    package func mayEject(at now: NIODeadline, maxPercent: Int) -> Bool {
        let ejected = self.set.endpoints.count { $0.health.isEjected(at: now) }
        return EndpointHealth.mayEject(ejected: ejected, of: self.set.endpoints.count, maxPercent: maxPercent)
    }
}
