// SPDX-License-Identifier: Apache-2.0

import AdminAPI
import Common
import NIOCore
import Proxy

/// The request path of one sidecar: a worker on each event loop, and the listeners.
///
/// Listeners belong to the runtime, so that a restart of Egress or Ingress loses no connection.
struct Traffic: Sendable {
    let workers: WorkerGroup
    /// Of all client connections of the process.
    let budget: ConnectionBudget
    let outgoingBudget: ConnectionBudget
    let incomingBudget: ConnectionBudget
    /// The first of them takes outgoing HTTP.
    let listeners: [Listener]
    /// The one that is always there.
    let main: Listener

    /// Opens all listeners.
    ///
    /// - Throws: `MesherError.cannotListen`.
    static func open(_ wiring: Wiring) async throws -> Traffic {
        let workers = try await WorkerGroup(
            on: wiring.loops, mesh: wiring.mesh, governance: wiring.governance, metrics: wiring.metrics,
            logger: wiring.logger, overload: wiring.overload, tls: wiring.tls, records: wiring.telemetry.inbox,
            ask: wiring.ask)
        let budget = ConnectionBudget(limit: ConnectionBudget.share(ofDescriptors: Descriptors.raiseLimit()))
        let limit = wiring.config.proxy.maxConnections
        let plan = ListenerPlan(
            wiring: wiring, outgoing: ConnectionBudget(limit: limit, within: budget),
            incoming: ConnectionBudget(limit: limit, within: budget))
        let setup = Listener.Setup(workers: workers, metrics: wiring.metrics, logger: wiring.logger)
        let main = try await Listener.open(plan.main, setup)
        var listeners = [main]
        for group in plan.others {
            for spec in group {
                guard let listener = try await plan.open(spec, setup) else { break }
                listeners.append(listener)
            }
        }
        wiring.readiness.set(.listeners)
        plan.report(listeners)
        return Traffic(
            workers: workers, budget: budget, outgoingBudget: plan.outgoing, incomingBudget: plan.incoming,
            listeners: listeners, main: main)
    }

    /// Where incoming HTTP is taken, if it is.
    var mainIncoming: Listener? { self.listeners(.incoming).first { !$0.spec.isGRPC } }

    /// The listeners of one direction, that of HTTP first.
    func listeners(_ direction: Direction) -> [Listener] { self.listeners.filter { $0.spec.direction == direction } }

    /// Stops what would keep the event loops busy.
    func stopTimers() {
        self.workers.forEach {
            $0.deadlines.stop()
            $0.waits.stop()
            $0.addresses.stop()
            $0.stopReporting()
        }
    }
}
