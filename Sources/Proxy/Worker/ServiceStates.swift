// SPDX-License-Identifier: Apache-2.0
// request path

import Common

/// What one event loop keeps about each service and host that it has called, by their slots.
///
/// A state outlives every directory and configuration: the next one of the same name takes over from it. Those of services
/// that are gone are dropped when there are twice as many as were left the last time, so that it costs nothing for each
/// change.
struct ServiceStates {
    /// Fewer are never looked through.
    private static let least = 64

    private let loop: Int
    private let loops: Int
    /// By the slot of the service, which is nobody else's while a state holds its service.
    private var states: [ServiceState?] = []
    /// How many there are.
    private(set) var count = 0
    /// With so many, those of services that are gone are dropped.
    private var limit = Self.least

    /// - Parameter loop: The event loop's number.
    /// - Parameter loops: How many there are.
    init(loop: Int, of loops: Int) {
        self.loop = loop
        self.loops = loops
    }

    /// The state of `service` under `rules`; `nil` when there is none, or one of what the service was before.
    @inline(__always)
    func current(_ service: Service, _ rules: MeshRules) -> ServiceState? {
        let slot = service.slot
        guard slot < self.states.count, let state = self.states[slot], state.service === service, state.rules === rules
        else { return nil }
        return state
    }

    /// The same, made where there is none: a new one takes over from the old one.
    ///
    /// Cost: after a change, once, O(n) in the instances of this service.
    ///
    /// - Parameter isThere: Whether there still is a service of this name; asked of all when they have become many.
    mutating func state(
        of service: Service, _ rules: MeshRules, _ governance: Governance, _ metrics: WorkerMetrics,
        _ random: inout FastRandom, isThere: (Service) -> Bool
    ) -> ServiceState {
        let slot = service.slot
        let old = slot < self.states.count ? self.states[slot] : nil
        let policy = governance.policy(of: service, under: rules)
        if let old, old.service === service, old.policy === policy {
            old.rules = rules
            return old
        }
        let state = ServiceState(
            service, policy, rules, metrics.counters(for: service, policy.host), loop: self.loop, of: self.loops,
            upon: old, using: &random)
        if old == nil {
            if self.count >= self.limit { self.forget(isThere) }
            self.count += 1
        }
        if slot >= self.states.count {
            self.states += Array(repeating: nil, count: slot + 1 - self.states.count)
        }
        self.states[slot] = state
        return state
    }

    /// Drops the states of services that are gone.
    ///
    /// - Parameter isThere: Whether there still is a service of this name.
    mutating func forget(_ isThere: (Service) -> Bool) {
        for slot in self.states.indices {
            guard let state = self.states[slot], !isThere(state.service) else { continue }
            self.states[slot] = nil
            self.count -= 1
        }
        self.limit = max(Self.least, 2 * self.count)
    }
}
