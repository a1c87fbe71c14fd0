// SPDX-License-Identifier: Apache-2.0

import Common

/// What says that the sidecar is leaving, before anything else stops.
struct ReadinessFeature: Feature {
    let wiring: Wiring

    func install(into supervisor: inout Supervisor) {
        let (readiness, logger) = (self.wiring.readiness, self.wiring.logger)
        let limit = self.wiring.readyLimit
        supervisor.add("readiness") { ReadinessComponent(readiness, limit: limit, logger: logger) }
    }
}
