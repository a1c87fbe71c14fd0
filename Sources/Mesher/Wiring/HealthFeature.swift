// SPDX-License-Identifier: Apache-2.0

import Common
import HealthAgent

/// What watches the local application.
struct HealthFeature: Feature {
    let wiring: Wiring

    func install(into supervisor: inout Supervisor) {
        let wiring = self.wiring
        supervisor.add("health") {
            HealthComponent(
                wiring.config.healthChecks, health: wiring.health, registrar: wiring.mailboxes.registrar,
                loops: wiring.controlLoops, logger: wiring.logger)
        }
    }
}
