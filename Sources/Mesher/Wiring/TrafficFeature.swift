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
                inbox: wiring.mailboxes.ingress, plans: wiring.incomingPlans, traffic: incoming,
                readiness: wiring.readiness, logger: logger)
        }
    }

    private func control(_ direction: Direction, _ budget: ConnectionBudget) -> TrafficControl {
        TrafficControl(
            listeners: self.traffic.listeners(direction), budgets: [budget], workers: self.traffic.workers,
            logger: self.wiring.logger, notice: self.notice(direction),
            farewell: direction == .incoming ? self.farewell : .zero)
    }

    /// How long others go on calling an instance that they know from a registry which it has left.
    private var farewell: Duration {
        let registry = self.wiring.config.registry
        let isRegistered = self.wiring.center != nil && registry.isRegistering && registry.registersInstance
        return isRegistered ? registry.farewell : .zero
    }

    /// What is left of the time in which callers learn that this instance is leaving: the end of a registration has taken
    /// its part of it, or all of it was over before the process was told to stop.
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
