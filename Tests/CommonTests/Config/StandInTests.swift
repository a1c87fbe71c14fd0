// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Common

/// A sidecar without files, as in a pod whose ConfigMap nobody has made.
@Suite struct StandInTests {
    private func examine(_ changes: [String: String]) -> ConfigLoader.Result {
        let environment = [
            "CHASSIS_CONF_DIR": "/nonexistent", "SERVICE_NAME": "cart", "SERVICE_PORTS": "rest:8080",
            "cse_protocols_http_listenAddress": "127.0.0.1:30101",
            "cse_protocols_rest-admin_listenAddress": "127.0.0.1:30102",
        ]
        return ConfigLoader(
            arguments: .init(), environment: environment.merging(changes) { $1 }, executableDirectory: "/nonexistent"
        ).examine()
    }

    @Test("variables stand in for chassis.yaml and microservice.yaml", arguments: ["10.1.2.3", "fd00::5"])
    func standIn(_ address: String) {
        let result = self.examine(["CSE_REGISTRY_ADDR": "http://sc:30100", "mesher_listenIP": address])
        #expect(!result.hasErrors, "\(result.problems)")
        #expect(result.config.registry.uses(.serviceCenter))
        #expect(result.config.listeners.incoming?.host == address && result.config.listeners.incoming?.port == 30101)
        #expect(result.config.listeners.outgoing.host == "127.0.0.1")
        #expect(result.config.listeners.admin?.host == address && result.config.listeners.admin?.port == 30102)
    }

    @Test("so does the type of discovery")
    func discovery() {
        let registry = "cse_service_registry"
        let result = self.examine([
            "\(registry)_serviceDiscovery_type": "istio", "\(registry)_registrator_disabled": "true",
            "\(registry)_serviceDiscovery_address": "grpc://istiod.istio-system.svc:15010",
            "mesher_listenIP": "10.1.2.3",
        ])
        #expect(!result.hasErrors, "\(result.problems)")
        #expect(result.config.registry.uses(.istio))
    }

    @Test("without a word of where services are, chassis.yaml is missing")
    func missing() {
        let problems = self.examine([:]).problems.filter { $0.severity == .error }
        #expect(problems.map(\.location.source) == ["/nonexistent/chassis.yaml"])
    }
}
