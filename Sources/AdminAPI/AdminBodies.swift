// SPDX-License-Identifier: Apache-2.0

import Common
import Foundation

/// - Source: the original's version document; its fourth key names the framework, which this program does not have.
struct VersionBody: Encodable {
    let version: String
    let commit: String
    let built: String
    let framework = ""

    enum CodingKeys: String, CodingKey {
        case version, commit, built
        case framework = "Go-Chassis"
    }

    init(_ build: BuildInfo) {
        self.version = build.version
        self.commit = build.commit
        self.built = build.built
    }
}

/// The health of the sidecar, not of the application: green as long as it is where callers can find it.
///
/// - Source: the original's health document, with what else operators ask about.
struct HealthBody: Encodable {
    let serviceName: String
    let version: String
    let status: String
    let error: String?
    let connectedConfigCenterClient: Bool
    let connectedMonitoring = false
    let localHealthCheck: [Check]
    let registry: TrafficDocument.Registry?

    struct Check: Encodable {
        let name: String
        let healthy: Bool
        let error: String?
    }

    init(_ state: AdminState) {
        self.connectedConfigCenterClient = state.configServer.current.isReachable
        self.registry = state.registry.map { TrafficDocument.Registry($0.current) }
        self.serviceName = state.identity.name
        self.version = state.identity.version
        self.localHealthCheck = state.health.all.map { Check(name: $0.name, healthy: $0.isHealthy, error: $0.failure) }
        self.error = state.registrationFailure()
        self.status = self.error == nil ? "green" : "red"
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
    let synced: Bool
    let complete: Bool
    let registry: TrafficDocument.Registry?
    let services: [TrafficDocument.Service]

    init(_ state: AdminState) {
        let directory = state.directory()
        self.synced = directory.isSynced
        self.complete = directory.isComplete
        self.registry = state.registry.map { TrafficDocument.Registry($0.current) }
        self.services = state.monitor.recent().services
    }
}

/// What is configured, key by key.
struct ConfigBody: Encodable {
    struct Setting: Encodable {
        let key: String
        let value: String
        /// Where it is written; `default` where it is not.
        let source: String
        /// Whether it has an effect.
        let active: Bool
        /// `live`, or `restart` where a change waits for one.
        let reload: String
    }

    struct Problem: Encodable {
        let severity, location, key, problem, remedy: String
    }

    let settings: [Setting]
    let problems: [Problem]
    let lastReloadSuccessful: Bool

    static let mask = "******"

    init(_ state: AdminState) {
        let current = state.configState?.current
        let store = current?.store ?? ConfigStore([])
        var settings: [String: Setting] = [:]
        for key in ConfigCatalogue.all where key.state == .active && key.pattern.isOneKey {
            settings[key.pattern.text] = Setting(
                key: key.pattern.text, value: Self.masked(key.fallbackText, of: key.pattern.text), source: "default",
                active: true, reload: key.reload.rawValue)
        }
        // The highest-ranked source comes first.
        for (canonical, rank, entry) in store.allKeys.sorted(by: { $0.rank > $1.rank }) {
            let known = ConfigCatalogue.key(canonical)
            // The environment is full of what is none of our business.
            if known == nil, rank == .environment || rank == .fallback { continue }
            settings[canonical] = Setting(
                key: canonical, value: Self.masked(entry.value.text ?? entry.value.plain, of: canonical),
                source: entry.value.location.description, active: known?.state == .active,
                reload: known?.reload.rawValue ?? "restart")
        }
        self.settings = settings.values.sorted { $0.key < $1.key }
        self.problems = (current?.problems ?? []).map {
            Problem(
                severity: $0.severity.rawValue, location: $0.location.description, key: $0.key, problem: $0.problem,
                remedy: $0.remedy)
        }
        self.lastReloadSuccessful = state.configState?.isLastSuccessful ?? true
    }

    /// A value without what nobody should read: passwords, tokens, and those inside of URLs.
    private static func masked(_ value: String, of key: String) -> String {
        let name = key.lowercased()
        let isSecret = ["password", "secret", "token", "accesskey", "credential"].contains { name.contains($0) }
        if isSecret, !name.hasSuffix("file"), !value.isEmpty { return Self.mask }
        // A list has several URLs, and a password may have an `@` of its own.
        var (shown, rest) = ("", value[...])
        while let scheme = rest.range(of: "://") {
            let authority = rest[scheme.upperBound...].prefix { !"/?#\" ".contains($0) }
            shown += rest[..<scheme.upperBound]
            if let at = authority.lastIndex(of: "@") {
                shown += Self.mask
                rest = rest[at...]
            } else {
                rest = rest[scheme.upperBound...]
            }
        }
        return shown + rest
    }
}

/// - Source: `/profile` of the original's framework.
struct ProfileBody: Encodable {
    let routeRule: [String: [RouteRuleBody]]
    let discovery: [String: [DiscoveryBody]]
}

/// An instance as the original's framework shows it.
struct DiscoveryBody: Encodable {
    let instanceID, serviceID, hostName, status, app, version: String
    let endpoints, metadata: [String: String]
    let dataCenter: [String: String]?

    enum CodingKeys: String, CodingKey {
        case instanceID = "InstanceID"
        case serviceID = "ServiceID"
        case hostName = "HostName"
        case status = "Status"
        case app = "App"
        case version = "Version"
        case endpoints = "EndpointsMap"
        case metadata = "Metadata"
        case dataCenter = "DataCenterInfo"
    }

    /// Those of all services, by name.
    static func all(_ directory: ServiceDirectory) -> [String: [DiscoveryBody]] {
        Dictionary(
            directory.all.map { service in (service.name, service.instances.map { DiscoveryBody($0, service.name) }) },
            uniquingKeysWith: { first, _ in first })
    }

    private init(_ instance: Instance, _ service: String) {
        self.instanceID = instance.id
        // Ids of services are the registry's own business; the name stands for it here.
        self.serviceID = service
        self.hostName = instance.endpoints.first?.host ?? ""
        self.status = instance.status.rawValue
        self.app = instance.app
        self.version = instance.version
        self.endpoints = Dictionary(
            instance.endpoints.map { endpoint in
                let host = endpoint.host.contains(":") ? "[\(endpoint.host)]" : endpoint.host
                return (endpoint.protocolName, "\(host):\(endpoint.port)")
            }, uniquingKeysWith: { first, _ in first })
        self.metadata = instance.properties.merging(
            ["version": instance.version, "app": instance.app].filter { !$0.value.isEmpty }
        ) { $1 }
        self.dataCenter =
            instance.region.isEmpty && instance.zone.isEmpty
            ? nil : ["Region": instance.region, "AvailableZone": instance.zone]
    }
}
