// SPDX-License-Identifier: Apache-2.0

import AdminAPI
import Common
import Egress
import NIOCore
import Proxy
import RegistryBridge
import TLS

/// What operators see: the admin API, profiles, and what is measured for them.
///
/// Nothing without an address.
struct AdminFeature: Feature {
    let wiring: Wiring
    let traffic: Traffic
    /// What is shown, and what watches for it.
    private let shown: (state: AdminState, monitor: TrafficMonitor)?

    init(wiring: Wiring, traffic: Traffic) {
        self.wiring = wiring
        self.traffic = traffic
        guard wiring.config.listeners.admin != nil else {
            self.shown = nil
            return
        }
        let monitor = TrafficMonitor(metrics: wiring.metrics) {
            TrafficInspector.services(wiring.mesh.current, wiring.governance, now: .now())
        }
        self.shown = (Self.state(wiring, traffic, monitor), monitor)
    }

    /// What traffic is like right now; `nil` where nobody looks.
    var document: (@Sendable () -> TrafficDocument)? {
        guard let state = self.shown?.state else { return nil }
        return { state.document() }
    }

    func install(into supervisor: inout Supervisor) {
        guard let address = self.wiring.config.listeners.admin, let (state, monitor) = self.shown else { return }
        let wiring = self.wiring
        self.install(.api, as: "admin", on: address, state, into: &supervisor)
        for (index, place) in wiring.config.listeners.otherPlaces(of: address).enumerated() {
            self.install(.api, as: "admin \(index + 2)", on: place, state, into: &supervisor)
        }
        wiring.metrics.addCollector { wiring.operations.families() }
        supervisor.add("monitor") { TrafficMonitorComponent(monitor) }
        if let address = wiring.config.admin.profiling {
            self.install(.profiles, as: "profiling", on: address, state, into: &supervisor)
        }
    }

    private func install(
        _ kind: AdminComponent.Kind, as name: String, on address: ListenAddress, _ state: AdminState,
        into supervisor: inout Supervisor
    ) {
        let wiring = self.wiring
        // Operators and probes are answered also when memory runs out.
        let rules = AcceptGate.Rules(
            ConnectionBudget(limit: AdminComponent.mostConnections), overload: nil, metrics: wiring.metrics,
            logger: wiring.logger)
        supervisor.add(name, drainLimit: AdminComponent.drainLimit) {
            AdminComponent(
                kind, address: address, state: state, loops: wiring.controlLoops, logger: wiring.logger,
                onListening: { await AcceptGate.add(to: $0, rules) })
        }
    }

    private static func state(_ wiring: Wiring, _ traffic: Traffic, _ monitor: TrafficMonitor) -> AdminState {
        AdminState(
            wiring.config, build: wiring.surroundings.build, readiness: wiring.readiness, health: wiring.health,
            registry: wiring.center == nil ? nil : wiring.registryStatus, configServer: wiring.configServer,
            configState: wiring.configState, metrics: wiring.metrics, overload: wiring.overload, monitor: monitor,
            telemetry: wiring.telemetry, logLevel: wiring.surroundings.logLevel,
            views: Self.views(wiring, traffic),
            listeners: (traffic.listeners(.outgoing) + traffic.listeners(.incoming)).map { Self.shown($0) },
            startTime: ProcessClock.startTime)
    }

    private static func views(_ wiring: Wiring, _ traffic: Traffic) -> AdminState.Views {
        let (mesh, plans) = (wiring.mesh, wiring.outgoingPlans)
        var views = AdminState.Views(
            mesh: { mesh.current }, routes: { mesh.current.rules.routes },
            loops: { traffic.workers.reports }, resident: { wiring.surroundings.memory.resident() ?? 0 },
            mailboxes: { wiring.mailboxes.all }, registrationFailure: { wiring.registration.failure },
            // Addresses, ports and identity need a restart to change, so that `config` is right about them.
            explain: { question in
                try Explainer(
                    wiring.config, plan: plans.current, mesh: mesh.current, wiring.governance, now: .now(),
                    controlPlane: (wiring.sources.streams == nil ? wiring.controlPlane : wiring.streams).current
                ).explain(question)
            })
        views.certificates = {
            wiring.tls.certificates() + wiring.identity.certificates()
                + (wiring.center?.tls?.certificates("registry.Consumer", "this sidecar, to the registry") ?? [])
                + (wiring.serverTLS?.certificates("configServer.Consumer", "this sidecar, to the configuration server")
                    ?? [])
        }
        views.operate = { request throws(OperatorRefusal) in
            try wiring.operations.perform(request, at: .now(), time: ProcessClock.now)
        }
        views.operations = { wiring.operations.orders }
        views.leave = { wiring.leave(askedBy: "the admin API") }
        views.tap = { try await traffic.workers.tap($0) }
        if wiring.config.registry.istioUse != nil { views.controlPlane = { wiring.controlPlane.current } }
        if wiring.sources.streams != nil { views.streams = { wiring.streams.current } }
        return views
    }

    private static func shown(_ listener: Listener) -> TrafficDocument.Listener {
        .init(
            direction: listener.spec.direction.rawValue, protocol: listener.spec.isGRPC ? "grpc" : "http",
            address: listener.address.text)
    }
}
