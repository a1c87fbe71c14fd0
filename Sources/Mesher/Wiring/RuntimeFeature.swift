// SPDX-License-Identifier: Apache-2.0

import Common
import Proxy

/// What metrics show of the process itself: components, event loops, snapshots, logs and libraries.
struct RuntimeFeature: Feature {
    let wiring: Wiring
    let traffic: Traffic

    func install(into supervisor: inout Supervisor) {
        let (wiring, metrics) = (self.wiring, self.wiring.metrics)
        ComponentMetrics(restarts: supervisor.restarts, mailboxes: wiring.mailboxes.all).register(with: metrics)
        LoopMetrics(workers: self.traffic.workers).register(with: metrics)
        SnapshotMetrics(
            mesh: wiring.mesh, outgoing: wiring.outgoingPlans, incoming: wiring.incomingPlans
        ).register(with: metrics)
        if let logs = wiring.surroundings.logs { LogMetrics(output: logs).register(with: metrics) }
        if let libraries = wiring.surroundings.libraryMetrics { metrics.addCollector { libraries.families() } }
    }
}
