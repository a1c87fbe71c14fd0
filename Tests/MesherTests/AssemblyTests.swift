// SPDX-License-Identifier: Apache-2.0

import AdminAPI
import Common
import TestSupport
import Testing

@testable import Mesher

/// Who is there in a sidecar, and under which name.
@Suite(.timeLimit(.minutes(1))) struct AssemblyTests {
    /// All components, in the order in which they are stopped.
    private static let stops = [
        "readiness", "registry-file", "istio", "registry", "registrar", "mesh", "health", "ingress", "egress", "memory",
        "tls",
        "config-server", "config", "logs", "telemetry", "trace-export", "profiling", "monitor", "admin",
    ]

    @Test("callers are told first, and metrics end last")
    func order() async throws {
        let admin = try await TestSidecar.freePort()
        let sidecar = try await TestSidecar.start(
            services: [:], ["cse.protocols.rest-admin.listenAddress": "127.0.0.1:\(admin)"])
        let names = sidecar.sidecar.supervisor.names
        try await sidecar.stop()
        // What a file registry and an admin API have no use for is not there.
        let absent: Set = [
            "registry-file", "istio", "registrar", "tls", "config-server", "config", "logs", "trace-export",
            "profiling",
        ]
        #expect(names.reversed() == Self.stops.filter { !absent.contains($0) })
    }

    @Test("a mailbox has the name of the component that reads it")
    func mailboxes() throws {
        let config = try TestSidecar.config([:])
        let metrics = MetricsRegistry(startTime: 0, own: MetricLabels())
        let mailboxes = Mailboxes(Telemetry(config, logs: config.logs, metrics: metrics))
        let names = mailboxes.all.map(\.name)
        #expect(
            names == [
                "config", "egress", "ingress", "logs", "registrar", "registry", "istio", "mesh", "telemetry",
            ])
        #expect(Set(names).isSubset(of: Self.stops))
        #expect(mailboxes.registrar.name == "registrar" && mailboxes.registry.name == "registry")
    }
}
