// SPDX-License-Identifier: Apache-2.0

package import Common
import FoundationEssentials
import Synchronization

/// What this sidecar says of itself to a service-center.
package struct Registration: Sendable {
    /// The service.
    package var service: ServiceEntity
    /// The instance, without its status.
    package var instance: InstanceEntity
    /// The status that it begins with.
    package var status: InstanceStatus
    /// Time between two heartbeats.
    package var interval: Duration
    /// Whether the instance is registered too, or the service only.
    package var includesInstance: Bool
    /// How long requests are still taken after the end of the registration: others learn of it with a delay.
    package var farewell: Duration

    /// What the configuration says.
    ///
    /// - Parameter version: This program's.
    package init(_ config: MesherConfig, version: String) {
        let (identity, registry) = (config.identity, config.registry)
        var service = ServiceEntity(
            appId: identity.app, serviceName: identity.name, version: identity.version,
            environment: identity.environment.isEmpty ? nil : identity.environment)
        service.status = "UP"
        service.level = identity.level
        // A longer one is refused, and the service with it, which is found by its name as well.
        let alias = "\(identity.app):\(identity.name)"
        service.alias = alias.utf8.count <= RegistryNames.aliasLimit ? alias : nil
        service.registerBy = "SIDECAR"
        service.framework = .init(name: "Mesher", version: version)
        // Not by a property of the same name, which the original's sample configuration sets and the original ignores.
        service.properties = identity.properties.merging(
            ["allowCrossApp": registry.scope == .full ? "true" : "false"]) { _, scope in scope }
        self.service = service
        var properties = identity.instanceProperties
        if !registry.nodeIP.isEmpty { properties["nodeIP"] = properties["nodeIP"] ?? registry.nodeIP }
        // Its own id, chosen before the first call: repeated after a time-out, the call does not make a second instance.
        self.instance = InstanceEntity(
            instanceId: UUID().uuidString.replacing("-", with: "").lowercased(),
            endpoints: config.listeners.advertised.map(\.description),
            hostName: identity.hostName.isEmpty ? "localhost" : String(identity.hostName.prefix(64)),
            properties: properties,
            healthCheck: .init(interval: Int(registry.heartbeat.components.seconds), times: 3),
            dataCenterInfo: .init(config.governance.region))
        self.status = identity.status
        self.interval = registry.heartbeat
        self.includesInstance = registry.registersInstance
        self.farewell = registry.farewell
    }
}

/// What has been registered: kept outside the component, which may be between two lives when it has to be undone.
package final class RegistrationState: Sendable {
    struct Value {
        var serviceID: String?
        var isRegistered = false
        /// The registry may have taken the instance, even when nobody has heard its answer.
        var mayBeRegistered = false
        var isLeaving = false
        /// What the registry was told last; `nil` when it may have kept something else.
        var told: InstanceStatus?
        /// A status that somebody else has given the instance, neither `UP` nor `DOWN`: it outlasts the registration.
        var decided: InstanceStatus?
        /// How often the registry has lost the instance or the service.
        var losses = 0
        var failure: String?
    }

    private let value = Mutex(Value())

    /// Nothing is registered.
    package init() {}

    var current: Value { self.value.withLock { $0 } }

    /// The registry does not know this service any more; nothing changes when another one is registered by now.
    func lose(_ serviceID: String?) {
        self.update { value in
            guard value.serviceID == serviceID else { return }
            value.serviceID = nil
            value.isRegistered = false
            value.losses += 1
        }
    }

    func update(_ body: (inout Value) -> Void) { self.value.withLock { body(&$0) } }

    /// Whether others can find this instance.
    package var isRegistered: Bool { self.current.isRegistered }
    /// What went wrong last; `nil` when nothing has since.
    package var failure: String? { self.current.failure }
}
