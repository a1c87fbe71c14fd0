// SPDX-License-Identifier: Apache-2.0

import Common
import Logging
import Serving
import Synchronization

@testable import AdminAPI

/// What a sidecar has that nobody has sent a request to.
struct AdminSupport {
    let state: AdminState
    let metrics = MetricsRegistry(startTime: 0, own: .service("web", app: "shop", version: "1.0"))
    let readiness = Readiness([.registry])

    /// - Parameter yaml: What is configured, beside the service's name.
    init(
        _ yaml: String = "", configState: ConfigState? = nil, directory: ServiceDirectory = .empty,
        registrationFailure: String? = nil, inspections: [ServiceInspection] = [],
        certificates: [CertificateReport] = [],
        tap: (@Sendable (TapFilter) -> RequestTap)? = nil,
        operate: (@Sendable (OperatorRequest) throws(OperatorRefusal) -> OperatorAnswer)? = nil
    ) throws {
        var source = ConfigSource(.files)
        source.add(try ConfigTree(yaml: yaml, source: "f"))
        source.add("service_description.name", .text("web", ConfigLocation("f")))
        source.add("service_description.hostname", .text("machine", ConfigLocation("f")))
        var reader = ConfigReader(ConfigStore([source]))
        let config = MesherConfig(&reader)
        let level = Level()
        var views = AdminState.Views(
            mesh: { Mesh(directory, MeshRules(config), sources: ["file"]) }, routes: { config.rules.routes },
            loops: { [] },
            resident: { 1 << 20 },
            mailboxes: { [] }, registrationFailure: { registrationFailure },
            explain: { _ in throw MesherError.interrupted(component: "test") })
        views.certificates = { certificates }
        if let tap { views.tap = { tap($0) } }
        if let operate { views.operate = operate }
        views.leave = { [readiness] in readiness.beginDraining() }
        self.state = AdminState(
            config, build: BuildInfo(executableDirectory: "/nonexistent"), readiness: self.readiness,
            health: LocalHealth(), registry: nil, configServer: ConfigServerStatus(), configState: configState,
            metrics: self.metrics, overload: Overload(),
            monitor: TrafficMonitor(metrics: self.metrics, inspect: { inspections }),
            telemetry: Telemetry(config, logs: config.logs, metrics: self.metrics),
            logLevel: .init(get: { level.get() }, set: { level.set($0) }),
            views: views,
            listeners: [], startTime: 0)
    }

    private final class Level: Sendable {
        private let level = Mutex(Logger.Level.info)

        func get() -> Logger.Level { self.level.withLock { $0 } }
        func set(_ level: Logger.Level) { self.level.withLock { $0 = level } }
    }

    /// What answers.
    var table: EndpointTable { AdminRoutes(state: self.state).table }
}
