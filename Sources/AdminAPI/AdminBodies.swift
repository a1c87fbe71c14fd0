// SPDX-License-Identifier: Apache-2.0

package import Common
import FoundationEssentials

extension OrderedJSON {
    /// Which build this is.
    ///
    /// - Source: the original's version document; its fourth key names the framework, which this program does not have.
    static func version(_ build: BuildInfo) -> OrderedJSON {
        .object([
            ("version", .string(build.version)), ("commit", .string(build.commit)), ("built", .string(build.built)),
            ("Go-Chassis", .string("")),
        ])
    }

    /// The health of the sidecar, not of the application: green as long as it is where callers can find it.
    ///
    /// - Source: the original's health document, and behind it what else operators ask about.
    static func health(_ state: AdminState) -> OrderedJSON {
        let failure = state.registrationFailure()
        var members: [(String, OrderedJSON)] = [
            ("serviceName", .string(state.identity.name)), ("version", .string(state.identity.version)),
            ("status", .string(failure == nil ? "green" : "red")),
            ("connectedConfigCenterClient", .bool(state.configServer.current.isReachable)),
            ("connectedMonitoring", .bool(false)),
        ]
        if let failure { members.append(("error", .string(failure))) }
        let checks = state.health.all.map { check in
            OrderedJSON.object(
                [("name", .string(check.name)), ("healthy", .bool(check.isHealthy))]
                    + (check.failure.map { [("error", .string($0))] } ?? []))
        }
        members.append(("localHealthCheck", .array(checks)))
        if let registry = state.registry?.current {
            members.append(
                (
                    "registry",
                    .object(
                        [
                            ("reachable", .bool(registry.isReachable)), ("watching", .bool(registry.isWatching)),
                            ("services", .number(registry.services)),
                            ("staleServices", .number(registry.staleServices)),
                            ("heldInstances", .number(registry.heldInstances)),
                        ] + (registry.failure.map { [("error", .string($0))] } ?? []))
                ))
        }
        if let controlPlane = state.views.controlPlane() {
            members.append(("controlPlane", Self.body(of: controlPlane)))
        }
        if let streams = state.views.streams() { members.append(("controlPlaneOfRoutes", Self.body(of: streams))) }
        let shares = state.mesh().shares
        if shares.count > 1 {
            let sources = shares.map { share in
                OrderedJSON.object([
                    ("name", .string(share.source)), ("synced", .bool(share.isSynced)),
                    ("services", .number(share.services.count)), ("hidden", .number(share.hidden.count)),
                ])
            }
            members.append(("registries", .array(sources)))
        }
        return .object(members)
    }

    private static func body(of status: ControlPlaneStatus.Value) -> OrderedJSON {
        let kinds = status.resources.sorted { $0.key < $1.key }.map { name, kind in
            let refusals = kind.refusals.sorted { $0.key < $1.key }.map { name, reason in
                OrderedJSON.object([("name", .string(name)), ("reason", .string(reason))])
            }
            return (
                name,
                OrderedJSON.object([
                    ("version", .string(kind.version)), ("held", .number(kind.count)),
                    ("refusedResponses", .number(kind.refusedResponses)), ("refused", .array(refusals)),
                ])
            )
        }
        return .object(
            [
                ("connected", .bool(status.isConnected)), ("server", .string(status.server ?? "")),
                ("protocol", .string(status.form.rawValue)), ("resources", .object(kinds)),
                ("waitingFor", .array(status.waiting.map { .string($0) })),
                ("notDone", .array(status.notDone.map { .string($0) })),
            ] + (status.identity.map { [("identity", Self.body(of: $0))] } ?? [])
                + (status.failure.map { [("error", .string($0))] } ?? []))
    }

    private static func body(of identity: ControlPlaneStatus.Identity) -> OrderedJSON {
        let members: [(String, String?)] = [
            ("name", identity.name), ("notAfter", identity.expiry?.ISO8601Format()), ("error", identity.failure),
        ]
        return .object(members.compactMap { name, text in text.map { (name, .string($0)) } })
    }
}

extension TrafficDocument.Registry {
    /// What is known of the registry.
    init(_ status: RegistryStatus.Value) {
        self.init(
            reachable: status.isReachable, watching: status.isWatching, services: status.services,
            staleServices: status.staleServices, heldInstances: status.heldInstances, error: status.failure)
    }
}

/// Everything that is known of services.
struct ServicesBody: Encodable {
    /// One registry, and whose the names are.
    struct Source: Encodable {
        let name: String
        let synced: Bool
        let services: [String]
        /// It has them too, but they are those of a registry before it.
        let hidden: [String]
    }

    let synced: Bool
    let complete: Bool
    let sources: [Source]
    let registry: TrafficDocument.Registry?
    let services: [TrafficDocument.Service]

    init(_ state: AdminState) {
        let mesh = state.mesh()
        let directory = mesh.services
        self.synced = directory.isSynced
        self.complete = directory.isComplete
        self.sources = mesh.shares.map {
            Source(name: $0.source, synced: $0.isSynced, services: $0.services, hidden: $0.hidden)
        }
        self.registry = state.registry.map { TrafficDocument.Registry($0.current) }
        self.services = state.monitor.recent().services
    }
}

/// What is configured, key by key: of a running sidecar, and for `mesher config`.
package struct ConfigBody: Encodable {
    /// A key, and what holds of it.
    package struct Setting: Encodable {
        /// In its canonical spelling.
        package let key: String
        /// As it was written; a mask where it is a secret.
        package let value: String
        /// Where it is written; `default` where it is not.
        package let source: String
        /// Whether it has an effect.
        package let active: Bool
        /// `live`, or `restart` where a change waits for one.
        package let reload: String
    }

    struct Problem: Encodable {
        let severity, location, key, problem, remedy: String
    }

    /// By key.
    package var settings: [Setting]
    let problems: [Problem]
    let lastReloadSuccessful: Bool

    init(_ state: AdminState) {
        self.init(
            state.configState?.current, lastReloadSuccessful: state.configState?.isLastSuccessful ?? true)
    }

    /// What `current` says; the defaults alone when it is `nil`.
    ///
    /// - Parameter lastReloadSuccessful: Whether it is what the files say.
    package init(_ current: ConfigLoader.Result?, lastReloadSuccessful: Bool) {
        let store = current?.store ?? ConfigStore([])
        var settings: [String: Setting] = [:]
        for key in ConfigCatalogue.all where key.state == .active && key.pattern.isOneKey {
            settings[key.pattern.text] = Setting(
                key: key.pattern.text, value: Masked.value(key.fallbackText, of: key.pattern.text), source: "default",
                active: true, reload: key.reload.rawValue)
        }
        // The highest-ranked source comes first.
        for (canonical, rank, entry) in store.allKeys.sorted(by: { $0.rank > $1.rank }) {
            let known = ConfigCatalogue.key(canonical)
            // The environment is full of what is none of our business.
            if known == nil, rank == .environment || rank == .fallback { continue }
            settings[canonical] = Setting(
                key: canonical, value: Masked.value(entry.value.text ?? entry.value.plain, of: canonical),
                source: entry.value.location.description, active: known?.state == .active,
                reload: known?.reload.rawValue ?? "restart")
        }
        self.settings = settings.values.sorted { $0.key < $1.key }
        self.problems = (current?.problems ?? []).map {
            Problem(
                severity: $0.severity.rawValue, location: $0.location.description, key: $0.key, problem: $0.problem,
                remedy: $0.remedy)
        }
        self.lastReloadSuccessful = lastReloadSuccessful
    }
}

extension OrderedJSON {
    /// The instances of all services, by name.
    ///
    /// - Source: `/profile/discovery` of the original's framework.
    static func discovery(_ directory: ServiceDirectory) -> OrderedJSON {
        .object(
            directory.all.sorted { $0.name < $1.name }.map { service in
                (service.name, .array(service.instances.map { Self.instance($0, of: service.name) }))
            })
    }

    private static func instance(_ instance: Instance, of service: String) -> OrderedJSON {
        let endpoints = Dictionary(
            instance.endpoints.map { endpoint in
                (endpoint.protocolName, "\(endpoint.host.asHost):\(endpoint.port)")
            }, uniquingKeysWith: { first, _ in first })
        let tags = ["version": instance.version, "app": instance.app].filter { !$0.value.isEmpty }
        let isPlaced = !instance.region.isEmpty || !instance.zone.isEmpty
        return .object([
            // Ids of services are the registry's own business; the name stands for it here.
            ("InstanceID", .string(instance.id)), ("ServiceID", .string(service)),
            ("HostName", .string(instance.endpoints.first?.host ?? "")), ("EndpointsMap", OrderedJSON(endpoints)),
            ("Metadata", OrderedJSON(instance.properties.merging(tags) { $1 })),
            ("Status", .string(instance.status.rawValue)),
            (
                "DataCenterInfo",
                OrderedJSON(isPlaced ? ["Region": instance.region, "AvailableZone": instance.zone] : nil)
            ),
            ("App", .string(instance.app)), ("Version", .string(instance.version)),
        ])
    }
}
