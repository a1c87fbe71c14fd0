// SPDX-License-Identifier: Apache-2.0

import Common
import Proxy

/// What metrics show of the event loops.
struct LoopMetrics: Sendable {
    let workers: WorkerGroup

    func register(with metrics: MetricsRegistry) {
        metrics.addCollector {
            var lag = MetricFamily(
                "mesher_event_loop_lag_seconds",
                help: "How late an event loop came to a timer, at most, in the last second.", kind: .gauge)
            var clients = MetricFamily(
                "mesher_open_client_connections", help: "Client connections that are open, by protocol.", kind: .gauge)
            var upstreams = MetricFamily(
                "mesher_open_upstream_connections", help: "Connections to upstreams that are open, by state.",
                kind: .gauge)
            let reports = self.workers.reports
            for (index, report) in reports.enumerated() {
                lag.add(report.lag, MetricLabels(["loop": "\(index)"]))
            }
            let http2 = reports.reduce(0) { $0 + $1.http2Connections }
            let all = reports.reduce(0) { $0 + $1.clientConnections }
            clients.add(Double(all - http2), MetricLabels(["protocol": "http1"]))
            clients.add(Double(http2), MetricLabels(["protocol": "http2"]))
            let idle = reports.reduce(0) { $0 + $1.idleUpstreamConnections }
            let open = reports.reduce(0) { $0 + $1.upstreamConnections }
            upstreams.add(Double(open - idle), MetricLabels(["state": "busy"]))
            upstreams.add(Double(idle), MetricLabels(["state": "idle"]))
            return [
                lag, clients, upstreams,
                MetricFamily(
                    "mesher_requests_waiting_for_registry", help: "Names that requests wait to hear of.",
                    Double(reports.reduce(0) { $0 + $1.waiting })),
            ]
        }
    }
}

/// What metrics show of the snapshots that the request path reads.
struct SnapshotMetrics: Sendable {
    let mesh: Snapshot<Mesh>
    let outgoing: Snapshot<TrafficPlan>
    let incoming: Snapshot<TrafficPlan>

    func register(with metrics: MetricsRegistry) {
        metrics.addCollector {
            var age = MetricFamily(
                "mesher_snapshot_age_seconds", help: "How long ago a snapshot was published.", kind: .gauge)
            var count = MetricFamily(
                "mesher_snapshot_publications_total", help: "How often it was.", kind: .counter)
            for (name, time, generation) in [
                ("directory", self.mesh.age, self.mesh.generation),
                ("outgoing", self.outgoing.age, self.outgoing.generation),
                ("incoming", self.incoming.age, self.incoming.generation),
            ] {
                let labels = MetricLabels(["snapshot": name])
                age.add(time / .seconds(1), labels)
                count.add(Double(generation), labels)
            }
            return [age, count]
        }
    }
}
