// SPDX-License-Identifier: Apache-2.0

import Common

/// What one tenant's project has registered: pure, with time and randomness passed in.
///
/// - Source: service-center 2.2 over etcd: what it refuses, and the texts that it does so with.
struct RegistryState: Sendable {
    /// A moment on both clocks: leases follow the monotonic one, what people read the other.
    struct Moment: Sendable {
        /// Seconds from any start.
        let monotonic: Double
        /// Seconds since 1970.
        let unix: Int
    }

    /// What is found together: all versions of one service.
    struct Provider: Hashable, Sendable {
        let environment: String
        let app: String
        let name: String
    }

    struct Contract: Sendable {
        let text: String
        let summary: String
    }

    struct Held: Sendable {
        var instance: InstanceEntity
        /// The end of its lease.
        var deadline: Double
        var lifetime: Double
        /// Another after each change.
        var edition: UInt64
        /// Deleted, but shown until then; `nil` while it lives.
        var shownUntil: Double?
    }

    /// How long a deleted instance is still shown.
    ///
    /// - Source: service-center collects deletions for two seconds; its consumers are told after 2.3.
    static let usualHold = 2.0
    /// `tenant/project`.
    let tenant: String
    /// Seconds for which a deleted instance is still shown.
    var hold = RegistryState.usualHold
    var services: [String: ServiceEntity] = [:]
    /// Versions and their ids.
    private(set) var identities: [Provider: [String: String]] = [:]
    /// The same by alias instead of name.
    private(set) var aliases: [Provider: [String: String]] = [:]
    private(set) var instances: [String: [String: Held]] = [:]
    var contracts: [String: [String: Contract]] = [:]
    var tags: [String: [String: String]] = [:]
    var dependencies: [String: Set<Provider>] = [:]
    private var edition: UInt64
    private var events: [(provider: Provider, event: WatchEvent)] = []

    /// An empty world.
    ///
    /// - Parameter edition: Where editions begin: random, so that revisions of an earlier process never match.
    init(tenant: String, edition: UInt64) {
        self.tenant = tenant
        self.edition = edition
    }

    // MARK: - Services

    /// The id of the version of a service, by its name or its alias.
    func serviceID(of provider: Provider, version: String) throws(ServiceCenterError) -> String {
        let flag = "\(provider.environment)/\(provider.app)/\(provider.name)/\(version)"
        guard let versions = self.identities[provider] ?? self.aliases[provider] else {
            throw ServiceCenterError(.serviceMissing, "\(flag) does not exist.")
        }
        guard let id = versions[version] else {
            throw ServiceCenterError(.versionMissing, "\(flag) version mismatch.")
        }
        return id
    }

    /// Creates a service, or finds the one that has its identity or alias already, which stays as it is.
    mutating func register(_ service: ServiceEntity, at now: Moment) throws(ServiceCenterError) -> String {
        var service = service
        service.appId = service.appId.nonEmpty ?? "default"
        service.version = service.version.nonEmpty ?? "0.0.1"
        service.level = service.level.nonEmpty ?? "BACK"
        service.status = service.status.nonEmpty ?? "UP"
        try RegistryRules.check(service)
        let (provider, version) = (self.provider(of: service), service.version ?? "")
        let alias = self.alias(of: service)
        let known = self.identities[provider]?[version] ?? alias.flatMap { self.aliases[$0]?[version] }
        let wanted = service.serviceId.nonEmpty
        if known != nil || wanted.flatMap({ self.services[$0] }) != nil {
            guard let known, wanted == nil || wanted == known else {
                throw ServiceCenterError(
                    .serviceExists, "ServiceID conflict or found the same service with different id.")
            }
            return known
        }
        // The same after each creation, and in every registry.
        let id =
            wanted
            ?? SHA1.digits(
                of:
                    "/cse-sr/ms/indexes/\(self.tenant)/\(provider.environment)/\(provider.app)/\(provider.name)/\(version)"
            )
        service.serviceId = id
        service.timestamp = "\(now.unix)"
        service.modTimestamp = service.timestamp
        self.services[id] = service.compact
        self.identities[provider, default: [:]][version] = id
        if let alias { self.aliases[alias, default: [:]][version] = id }
        return id
    }

    func service(_ id: String) throws(ServiceCenterError) -> ServiceEntity {
        guard let service = self.services[id] else {
            throw ServiceCenterError(.serviceMissing, "Service does not exist.")
        }
        return service
    }

    mutating func setProperties(
        _ properties: [String: String], ofService id: String, at now: Moment
    ) throws(ServiceCenterError) {
        var service = try self.service(id)
        service.properties = properties.isEmpty ? nil : properties
        service.modTimestamp = "\(now.unix)"
        self.services[id] = service
    }

    /// - Parameter isForced: Whether its instances go with it; otherwise they, and consumers, forbid it.
    mutating func remove(service id: String, isForced: Bool) throws(ServiceCenterError) {
        let service = try self.service(id)
        let (provider, version) = (self.provider(of: service), service.version ?? "")
        if !isForced {
            guard self.consumers(of: provider).allSatisfy({ $0 == id }) else {
                throw ServiceCenterError(
                    .serviceHasConsumers, "Can not delete this service, other service rely it.")
            }
            guard self.instances[id]?.isEmpty ?? true else {
                throw ServiceCenterError(
                    .serviceHasInstances, "Can not delete the service deployed instance(s).")
            }
        }
        self.services[id] = nil
        self.instances[id] = nil
        self.contracts[id] = nil
        self.tags[id] = nil
        self.dependencies[id] = nil
        self.forget(version, in: \.identities, provider)
        if let alias = self.alias(of: service) { self.forget(version, in: \.aliases, alias) }
    }

    private mutating func forget(
        _ version: String, in table: WritableKeyPath<Self, [Provider: [String: String]]>, _ key: Provider
    ) {
        self[keyPath: table][key]?[version] = nil
        if self[keyPath: table][key]?.isEmpty == true { self[keyPath: table][key] = nil }
    }

    // MARK: - Instances

    /// Adds an instance; for one that lives already it is a heartbeat and changes nothing.
    mutating func register(
        _ instance: InstanceEntity, of serviceID: String, id: String, at now: Moment
    ) throws(ServiceCenterError) -> String {
        try RegistryRules.check(instance)
        guard let service = self.services[serviceID] else {
            throw ServiceCenterError(.serviceMissing, "Invalid 'serviceID' in request body.")
        }
        let id = instance.instanceId.nonEmpty ?? id
        let former = self.instances[serviceID]?[id]
        if let former, former.shownUntil == nil {
            try self.renew(id, of: serviceID, at: now)
            return id
        }
        var instance = instance
        let check = instance.healthCheck?.accepted ?? InstanceEntity.HealthCheck(interval: 30, times: 3)
        instance.instanceId = id
        instance.serviceId = serviceID
        instance.status = instance.status.nonEmpty ?? InstanceStatus.up.rawValue
        instance.healthCheck = check
        instance.timestamp = "\(now.unix)"
        instance.modTimestamp = instance.timestamp
        instance.version = service.version
        instance = instance.compact
        let lifetime = Double(check.interval ?? 30) * (Double(check.times ?? 3) + 1)
        self.instances[serviceID, default: [:]][id] = Held(
            instance: instance, deadline: now.monotonic + lifetime, lifetime: lifetime, edition: self.nextEdition())
        // One that is back before its deletion was told of has only changed.
        self.note(former == nil ? "CREATE" : "UPDATE", instance, service)
        return id
    }

    mutating func renew(_ id: String, of serviceID: String, at now: Moment) throws(ServiceCenterError) {
        var held = try self.held(id, serviceID, "leaseId not exist, instance not exist")
        held.deadline = now.monotonic + held.lifetime
        self.instances[serviceID]?[id] = held
    }

    mutating func change(
        _ id: String, of serviceID: String, at now: Moment, _ edit: (inout InstanceEntity) -> Void
    ) throws(ServiceCenterError) {
        var held = try self.held(id, serviceID, "Service instance does not exist.")
        edit(&held.instance)
        held.instance.modTimestamp = "\(now.unix)"
        held.instance = held.instance.compact
        held.edition = self.nextEdition()
        self.instances[serviceID]?[id] = held
        self.note("UPDATE", held.instance, try self.service(serviceID))
    }

    /// Ends an instance, which is shown for a while longer.
    mutating func remove(_ id: String, of serviceID: String, at now: Moment) throws(ServiceCenterError) {
        var held = try self.held(id, serviceID, "Instance's leaseId not exist.")
        guard self.hold > 0 else { return self.forget(held, of: serviceID) }
        held.shownUntil = now.monotonic + self.hold
        self.instances[serviceID]?[id] = held
    }

    /// Ends instances whose lease is over, and forgets those that have been shown long enough.
    mutating func sweep(at now: Moment) {
        for (service, all) in self.instances {
            for (id, held) in all {
                if let end = held.shownUntil {
                    if end <= now.monotonic { self.forget(held, of: service) }
                } else if held.deadline <= now.monotonic {
                    try? self.remove(id, of: service, at: now)
                }
            }
        }
    }

    private mutating func forget(_ held: Held, of serviceID: String) {
        self.instances[serviceID]?[held.instance.instanceId ?? ""] = nil
        if let service = self.services[serviceID] { self.note("DELETE", held.instance, service) }
    }

    /// - Parameter reason: The detail of the error when it does not live.
    private func held(_ id: String, _ serviceID: String, _ reason: String) throws(ServiceCenterError) -> Held {
        guard let held = self.instances[serviceID]?[id], held.shownUntil == nil else {
            throw ServiceCenterError(.instanceMissing, reason)
        }
        return held
    }

    // MARK: -

    func provider(of service: ServiceEntity) -> Provider {
        Provider(
            environment: service.environment ?? "", app: service.appId ?? "default", name: service.serviceName ?? "")
    }

    private func alias(of service: ServiceEntity) -> Provider? {
        service.alias.nonEmpty.map {
            Provider(environment: service.environment ?? "", app: service.appId ?? "default", name: $0)
        }
    }

    /// What has happened since the last call.
    mutating func takeEvents() -> [(provider: Provider, event: WatchEvent)] {
        defer { self.events = [] }
        return self.events
    }

    private mutating func note(_ action: String, _ instance: InstanceEntity, _ service: ServiceEntity) {
        let provider = self.provider(of: service)
        let key = WatchEvent.Key(
            tenant: self.tenant, environment: service.environment.nonEmpty, appId: provider.app,
            serviceName: provider.name, alias: service.alias.nonEmpty, version: service.version ?? "")
        self.events.append((provider, WatchEvent(action: action, key: key, instance: instance)))
    }

    private mutating func nextEdition() -> UInt64 {
        self.edition &+= 1
        return self.edition
    }
}
