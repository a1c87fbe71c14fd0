// SPDX-License-Identifier: Apache-2.0
// request path

import Common

/// What one event loop keeps about each service that it has called, by the service's name.
///
/// A state outlives every directory and configuration: the next one of the same name takes over from it. Those of services
/// that are gone are dropped when there are twice as many as were left the last time, so that it costs nothing for each
/// change.
struct ServiceStates {
    /// Fewer are never looked through.
    private static let least = 64

    private let loop: Int
    private let loops: Int
    private var states: [String: ServiceState] = [:]
    /// The same, for most requests.
    private var recent = IdentityCache<ServiceState>()
    /// With so many, those of services that are gone are dropped.
    private var limit = Self.least

    /// - Parameter loop: The event loop's number.
    /// - Parameter loops: How many there are.
    init(loop: Int, of loops: Int) {
        self.loop = loop
        self.loops = loops
    }

    /// How many there are.
    var count: Int { self.states.count }

    /// The state that was asked for last in the place of `service`, when it is this one's.
    @inline(__always)
    func recent(_ service: Service, _ governance: Governance) -> ServiceState? {
        guard let state = self.recent[service], state.service === service, state.governance === governance else {
            return nil
        }
        return state
    }

    /// The state of `service`: the one that there is, or a new one that takes over from it.
    ///
    /// Cost: a look-up by name; after a change, once, O(n) in the instances of this service.
    ///
    /// - Parameter isThere: Whether there still is a service of this name; asked of all when they have become many.
    mutating func state(
        of service: Service, _ governance: Governance, _ metrics: WorkerMetrics, _ random: inout FastRandom,
        isThere: (String) -> Bool
    ) -> ServiceState {
        let state = self.find(service, governance, metrics, &random, isThere)
        self.recent[service] = state
        return state
    }

    private mutating func find(
        _ service: Service, _ governance: Governance, _ metrics: WorkerMetrics, _ random: inout FastRandom,
        _ isThere: (String) -> Bool
    ) -> ServiceState {
        let old = self.states[service.name]
        if let old, old.service === service, old.governance === governance { return old }
        let policy = governance.policy(of: service)
        if let old, old.service === service, old.policy === policy {
            old.governance = governance
            return old
        }
        let state = ServiceState(
            service, policy, governance, metrics.counters(for: service), loop: self.loop, of: self.loops, upon: old,
            using: &random)
        if old == nil, self.states.count >= self.limit { self.forget(isThere) }
        // Its place would keep it, and all of its instances, until another service comes there.
        if let old, self.recent[old.service] === old { self.recent[old.service] = nil }
        self.states[service.name] = state
        return state
    }

    private mutating func forget(_ isThere: (String) -> Bool) {
        self.states = self.states.filter { isThere($0.key) }
        self.recent.removeAll()
        self.limit = max(Self.least, 2 * self.states.count)
    }
}
