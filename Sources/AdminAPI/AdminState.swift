// SPDX-License-Identifier: Apache-2.0

package import Common
import FoundationEssentials
package import Logging

/// What the admin API shows: slots and snapshots that others keep up to date.
///
/// It asks nobody a question.
package struct AdminState: Sendable {
    /// The level of the log, which may be changed while the process runs.
    package struct LogLevel: Sendable {
        let get: @Sendable () -> Logger.Level
        let set: @Sendable (Logger.Level) -> Void

        /// - Parameter set: Changes it for all loggers at once.
        package init(get: @escaping @Sendable () -> Logger.Level, set: @escaping @Sendable (Logger.Level) -> Void) {
            self.get = get
            self.set = set
        }
    }

    /// What others know, and how to ask them without waiting.
    package struct Views: Sendable {
        /// What is known of the mesh.
        package var mesh: @Sendable () -> Mesh
        /// The route rules that hold.
        package var routes: @Sendable () -> RouteTable
        /// What the event loops said last.
        package var loops: @Sendable () -> [LoopReport]
        /// The memory of the process, in bytes.
        package var resident: @Sendable () -> Int
        /// The mailboxes of the components.
        package var mailboxes: @Sendable () -> [any MailboxReport]
        /// Why the registry has not taken this instance; `nil` when it has, or none is asked to.
        package var registrationFailure: @Sendable () -> String?
        /// How things stand with Istio's control plane; `nil` where there is none.
        package var controlPlane: @Sendable () -> ControlPlaneStatus.Value? = { nil }
        /// The same of a second one, which is asked by streams where services come by Istio's first API.
        package var streams: @Sendable () -> ControlPlaneStatus.Value? = { nil }
        /// The certificates that this process shows to others.
        package var certificates: @Sendable () -> [CertificateReport] = { [] }
        /// Shows requests as they end.
        package var tap: @Sendable (TapFilter) async throws -> RequestTap = { _ in
            RequestTap(fetch: { [] }, end: {})
        }
        /// Does what an operator asks for.
        package var operate: @Sendable (OperatorRequest) throws(OperatorRefusal) -> OperatorAnswer = {
            OperatorAnswer($0)
        }
        /// What operators have decided.
        package var operations: @Sendable () -> OperatorOrders = { OperatorOrders([]) }
        /// Takes the sidecar out of service.
        package var leave: @Sendable () -> Void = {}
        /// Says what would become of a request; throws when the question is none.
        package var explain: @Sendable (ExplainQuestion) throws -> Explanation

        /// All of them.
        package init(
            mesh: @escaping @Sendable () -> Mesh, routes: @escaping @Sendable () -> RouteTable,
            loops: @escaping @Sendable () -> [LoopReport], resident: @escaping @Sendable () -> Int,
            mailboxes: @escaping @Sendable () -> [any MailboxReport],
            registrationFailure: @escaping @Sendable () -> String?,
            explain: @escaping @Sendable (ExplainQuestion) throws -> Explanation
        ) {
            self.mesh = mesh
            self.routes = routes
            self.loops = loops
            self.resident = resident
            self.mailboxes = mailboxes
            self.registrationFailure = registrationFailure
            self.explain = explain
        }
    }

    let config: MesherConfig
    let build: BuildInfo
    let readiness: Readiness
    let health: LocalHealth
    let registry: RegistryStatus?
    let configServer: ConfigServerStatus
    let configState: ConfigState?
    let configDocument = ConfigDocument()
    let metrics: MetricsRegistry
    let overload: Overload
    let monitor: TrafficMonitor
    let telemetry: Telemetry
    let logLevel: LogLevel
    let views: Views
    let listeners: [TrafficDocument.Listener]
    let startTime: Double

    /// The state of one sidecar.
    ///
    /// - Parameter registry: `nil` when there is none that could be away.
    /// - Parameter configState: What is configured; `nil` where there are no files.
    /// - Parameter startTime: When the process started, in seconds since 1970.
    package init(
        _ config: MesherConfig, build: BuildInfo, readiness: Readiness, health: LocalHealth, registry: RegistryStatus?,
        configServer: ConfigServerStatus, configState: ConfigState?, metrics: MetricsRegistry, overload: Overload,
        monitor: TrafficMonitor, telemetry: Telemetry, logLevel: LogLevel, views: Views,
        listeners: [TrafficDocument.Listener], startTime: Double
    ) {
        self.config = config
        self.build = build
        self.readiness = readiness
        self.health = health
        self.registry = registry
        self.configServer = configServer
        self.configState = configState
        self.metrics = metrics
        self.overload = overload
        self.monitor = monitor
        self.telemetry = telemetry
        self.logLevel = logLevel
        self.views = views
        self.listeners = listeners
        self.startTime = startTime
        if config.admin.hasCircuitMetrics {
            let circuits = CircuitMetrics(own: config.identity, monitor: monitor)
            metrics.addCollector { circuits.families() }
        }
        if config.admin.hasRuntimeMetrics {
            metrics.addCollector { ProcessMetrics.families(startTime: startTime) }
        }
    }

    var identity: ServiceIdentity { self.config.identity }
    var admin: AdminConfig { self.config.admin }
    func mesh() -> Mesh { self.views.mesh() }
    func directory() -> ServiceDirectory { self.views.mesh().services }
    func routes() -> RouteTable { self.views.routes() }
    func rules() -> ClassicRules { ClassicRules(self.routes(), self.mesh().rules.controlPlane) }
    func registrationFailure() -> String? { self.views.registrationFailure() }
    func explain(_ question: ExplainQuestion) throws -> Explanation { try self.views.explain(question) }

    /// Services in one document at most: those that fail, and the busiest.
    static let mostServices = 200

    private static func shown(_ services: [TrafficDocument.Service]) -> [TrafficDocument.Service] {
        guard services.count > Self.mostServices else { return services }
        let failing = services.filter { $0.flow.errorRate > 0 }.prefix(Self.mostServices)
        let others = services.filter { $0.flow.errorRate <= 0 }.prefix(Self.mostServices - failing.count)
        let names = Set((failing + others).map(\.name))
        return services.filter { names.contains($0.name) }
    }

    /// What traffic is like right now.
    package func document() -> TrafficDocument {
        let recent = self.monitor.recent()
        let now = Date().timeIntervalSince1970
        let missing = self.readiness.missing
        let loops = self.views.loops()
        return TrafficDocument(
            time: now, window: (recent.seconds * 10).rounded() / 10,
            own: .init(
                name: self.identity.name, version: self.identity.version, app: self.identity.app,
                build: self.build.version.isEmpty ? BuildInfo.sourceVersion : self.build.version,
                uptime: now - self.startTime, ready: missing.isEmpty, missing: missing,
                draining: self.readiness.isDraining),
            listeners: self.listeners,
            process: .init(
                residentBytes: self.views.resident(),
                clientConnections: loops.reduce(0) { $0 + $1.clientConnections },
                upstreamConnections: loops.reduce(0) { $0 + $1.upstreamConnections },
                idleUpstreamConnections: loops.reduce(0) { $0 + $1.idleUpstreamConnections },
                loopLag: loops.map(\.lag), overload: "\(self.overload.level)"),
            registry: self.registry.map { TrafficDocument.Registry($0.current) },
            registries: self.mesh().sourceStates.map { .init(name: $0.name, synced: $0.isSynced) },
            controlPlane: self.views.controlPlane().map { TrafficDocument.ControlPlane($0) },
            controlPlaneOfRoutes: self.views.streams().map { TrafficDocument.ControlPlane($0) },
            certificates: self.views.certificates(), incoming: recent.own, callers: recent.callers,
            services: Self.shown(recent.services),
            failures: self.telemetry.failures.newestFirst)
    }
}
