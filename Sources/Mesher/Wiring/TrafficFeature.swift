// SPDX-License-Identifier: Apache-2.0

import Common
import Egress
import HealthAgent
import Ingress
import Proxy

/// What steers the request path: plans of both directions, and the memory that there is.
struct TrafficFeature: Feature {
    let wiring: Wiring
    let traffic: Traffic

    func install(into supervisor: inout Supervisor) {
        self.installMemory(into: &supervisor)
        let (wiring, logger) = (self.wiring, self.wiring.logger)
        let outgoing = self.control(.outgoing, self.traffic.outgoingBudget)
        supervisor.add("egress", drainLimit: wiring.stopLimit) {
            EgressComponent(
                inbox: wiring.mailboxes.egress, plans: wiring.outgoingPlans, traffic: outgoing, token: wiring.token,
                logger: logger)
        }
        let incoming = self.control(.incoming, self.traffic.incomingBudget)
        supervisor.add("ingress", drainLimit: wiring.stopLimit) {
            IngressComponent(
                inbox: wiring.mailboxes.ingress, plans: wiring.incomingPlans, traffic: incoming, logger: logger)
        }
    }

    private func control(_ direction: Direction, _ budget: ConnectionBudget) -> TrafficControl {
        TrafficControl(
            listeners: self.traffic.listeners(direction), budgets: [budget], workers: self.traffic.workers,
            logger: self.wiring.logger, notice: self.notice(direction))
    }

    /// What is left of the time in which callers learn that this instance is leaving: the end of a registration has taken
    /// its part of it.
    private func notice(_ direction: Direction) -> @Sendable () -> Duration {
        let (readiness, limit) = (self.wiring.readiness, self.wiring.notice)
        // Without ports there is nothing that anybody calls.
        if direction == .outgoing || self.wiring.config.servicePorts.ports.isEmpty { return { .zero } }
        return { limit - (readiness.drainingSince.map { .now - $0 } ?? .zero) }
    }

    private func installMemory(into supervisor: inout Supervisor) {
        let (wiring, traffic) = (self.wiring, self.traffic)
        let memory = wiring.surroundings.memory
        supervisor.add("memory") {
            MemoryComponent(wiring.overload, logger: wiring.logger, resident: memory.resident) { level in
                if level > .normal { traffic.workers.forEach { $0.closeIdleConnections() } }
                for listener in traffic.listeners { listener.reconsider() }
            }
        }
        OverloadMetrics(overload: wiring.overload, memory: memory).register(with: wiring.metrics)
    }
}
