// SPDX-License-Identifier: Apache-2.0

import Common
import RegistryBridge

/// What reads the configuration again while the sidecar runs.
///
/// Nothing without files.
struct ConfigurationFeature: Feature {
    let wiring: Wiring

    func install(into supervisor: inout Supervisor) {
        let wiring = self.wiring
        guard let (loader, _) = wiring.surroundings.source, let state = wiring.configState else { return }
        state.register(with: wiring.metrics)
        let mailboxes = wiring.mailboxes
        supervisor.add("logs") {
            LogComponent(
                inbox: mailboxes.logs, wiring.config.logs, home: LogConfig.home, output: wiring.surroundings.logs,
                telemetry: wiring.telemetry)
        }
        supervisor.add("config") {
            ConfigComponent(
                loader: loader, state: state, inbox: mailboxes.config,
                receivers: mailboxes.configurationReceivers, logger: wiring.logger)
        }
        guard let server = wiring.config.configServer else { return }
        ConfigServerMetrics(status: wiring.configServer, state: state).register(with: wiring.metrics)
        supervisor.add("config-server") {
            ConfigServerComponent(
                server, scope: ConfigServerScope(wiring.config.identity), login: wiring.center?.client,
                tls: wiring.serverTLS, inbox: mailboxes.config, status: wiring.configServer,
                loops: wiring.controlLoops, logger: wiring.logger)
        }
    }
}
