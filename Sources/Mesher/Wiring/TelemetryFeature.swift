// SPDX-License-Identifier: Apache-2.0

import AdminAPI
import Common
import Proxy

/// What becomes of single requests when they are over: the access log, and spans.
struct TelemetryFeature: Feature {
    let wiring: Wiring
    let traffic: Traffic

    func install(into supervisor: inout Supervisor) {
        let (wiring, workers) = (self.wiring, self.traffic.workers)
        if let tracing = wiring.config.tracing {
            supervisor.add("trace-export") {
                TraceExportComponent(
                    tracing, telemetry: wiring.telemetry, loops: wiring.controlLoops, logger: wiring.logger)
            }
        }
        supervisor.add("telemetry") {
            TelemetryComponent(wiring.telemetry) { _ = try? await workers.gather { $0.telemetry.handOver() } }
        }
    }
}
