// SPDX-License-Identifier: Apache-2.0

import Common

/// What one tenant's project has registered: pure, with time and randomness passed in.
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

    private struct Held: Sendable {
        var instance: InstanceEntity
        var deadline: Double
        var lifetime: Double
    }

    /// `tenant/project`.
    let tenant: String
    private(set) var services: [String: ServiceEntity] = [:]
    private var instances: [String: [String: Held]] = [:]
    private var contracts: [String: [String: Contract]] = [:]
    private var dependencies: [String: Set<Provider>] = [:]
    private var revisions: [Provider: UInt64] = [:]
    private var revision: UInt64
    private var events: [(provider: Provider, event: WatchEvent)] = []

    /// An empty world.
    ///
    /// - Parameter revision: Where revisions begin: random, so that those of an earlier process never match.
    init(tenant: String, revision: UInt64) {
        self.tenant = tenant
        self.revision = revision
    }

    // MARK: - Services

    /// The id of the service with this identity.
    func serviceID(of provider: Provider, version: String) -> String? {
        self.services.first { self.provider(of: $0.value) == provider && $0.value.version == version }?.key
    }

    /// Creates a service, or finds the one that has its identity already, which stays as it is.
    mutating func register(
        _ service: ServiceEntity, id: String, at now: Moment
    ) throws(ServiceCenterError) -> String {
        try RegistryRules.check(service)
        var service = service
        service.appId = service.appId.nonEmpty ?? "default"
        service.version = service.version.nonEmpty ?? "0.0.1"
        if let known = self.serviceID(of: self.provider(of: service), version: service.version ?? "") {
            if let wanted = service.serviceId.nonEmpty, wanted != known {
                throw ServiceCenterError(.serviceExists, "the service is registered with the id \(known)")
            }
            return known
        }
        let id = service.serviceId.nonEmpty ?? id
        guard self.services[id] == nil else {
            throw ServiceCenterError(.serviceExists, "another service has the id \(id)")
        }
        service.serviceId = id
        service.level = service.level.nonEmpty ?? "BACK"
        service.status = service.status.nonEmpty ?? "UP"
        service.timestamp = "\(now.unix)"
        service.modTimestamp = service.timestamp
        self.services[id] = service
        self.touch(self.provider(of: service))
        return id
    }

    func service(_ id: String) throws(ServiceCenterError) -> ServiceEntity {
        guard let service = self.services[id] else { throw Self.missing(service: id) }
        return service
    }

    mutating func setProperties(
        _ properties: [String: String], ofService id: String, at now: Moment
    ) throws(ServiceCenterError) {
        var service = try self.service(id)
        service.properties = properties
        service.modTimestamp = "\(now.unix)"
        self.services[id] = service
        self.touch(self.provider(of: service))
    }

    /// - Parameter isForced: Whether its instances go with it; otherwise they forbid it.
    mutating func remove(service id: String, isForced: Bool) throws(ServiceCenterError) {
        let service = try self.service(id)
        if !isForced, let some = self.instances[id], !some.isEmpty {
            throw ServiceCenterError(.serviceHasInstances, "it has \(some.count) instance(s)")
        }
        self.services[id] = nil
        self.instances[id] = nil
        self.contracts[id] = nil
        self.dependencies[id] = nil
        self.touch(self.provider(of: service))
    }

    // MARK: - Instances

    /// Adds an instance; for one that lives already it is a heartbeat and changes nothing.
    mutating func register(
        _ instance: InstanceEntity, of serviceID: String, id: String, at now: Moment
    ) throws(ServiceCenterError) -> String {
        let service = try self.service(serviceID)
        try RegistryRules.check(instance)
        let id = instance.instanceId.nonEmpty ?? id
        if self.instances[serviceID]?[id] != nil {
            try self.renew(id, of: serviceID, at: now)
            return id
        }
        var instance = instance
        let check = InstanceEntity.HealthCheck(
            interval: max(5, instance.healthCheck?.interval ?? 30), times: max(3, instance.healthCheck?.times ?? 3))
        instance.instanceId = id
        instance.serviceId = serviceID
        instance.status = instance.status.nonEmpty ?? InstanceStatus.up.rawValue
        instance.healthCheck = check
        instance.timestamp = "\(now.unix)"
        instance.modTimestamp = instance.timestamp
        instance.version = service.version
        let lifetime = Double(check.interval ?? 30) * Double((check.times ?? 3) + 1)
        self.instances[serviceID, default: [:]][id] = Held(
            instance: instance, deadline: now.monotonic + lifetime, lifetime: lifetime)
        self.note("CREATE", instance, service)
        return id
    }

    func instance(_ id: String, of serviceID: String) throws(ServiceCenterError) -> InstanceEntity {
        try self.held(id, serviceID).instance
    }

    func instances(of serviceID: String) -> [InstanceEntity] {
        (self.instances[serviceID] ?? [:]).sorted { $0.key < $1.key }.map(\.value.instance)
    }

    mutating func renew(_ id: String, of serviceID: String, at now: Moment) throws(ServiceCenterError) {
        var held = try self.held(id, serviceID)
        held.deadline = now.monotonic + held.lifetime
        self.instances[serviceID]?[id] = held
    }

    mutating func change(
        _ id: String, of serviceID: String, at now: Moment, _ edit: (inout InstanceEntity) -> Void
    ) throws(ServiceCenterError) {
        var held = try self.held(id, serviceID)
        edit(&held.instance)
        held.instance.modTimestamp = "\(now.unix)"
        self.instances[serviceID]?[id] = held
        self.note("UPDATE", held.instance, try self.service(serviceID))
    }

    mutating func remove(_ id: String, of serviceID: String) throws(ServiceCenterError) {
        let held = try self.held(id, serviceID)
        self.instances[serviceID]?[id] = nil
        self.note("DELETE", held.instance, try self.service(serviceID))
    }

    /// Removes instances whose lease has ended.
    ///
    /// - Returns: Their number.
    mutating func expire(at now: Moment) -> Int {
        let ended = self.instances.flatMap { service, all in
            all.filter { $0.value.deadline <= now.monotonic }.map { (service, $0.key) }
        }
        for (service, id) in ended { try? self.remove(id, of: service) }
        return ended.count
    }

    // MARK: - Finding

    /// The instances of all versions of a service, as far as the consumer may see them.
    ///
    /// - Parameter consumer: The id of the service that asks; its environment decides. Without one nobody is told of
    ///   changes.
    mutating func find(
        _ provider: Provider, consumer: String?
    ) throws(ServiceCenterError) -> (instances: [InstanceEntity], revision: String) {
        var provider = provider
        var app: String?
        if let consumer {
            guard let own = self.services[consumer] else {
                throw ServiceCenterError(.serviceMissing, "Consumer[\(consumer)] does not exist.")
            }
            app = own.appId
            provider = Provider(environment: own.environment ?? "", app: provider.app, name: provider.name)
        }
        let versions = self.services.filter { _, service in
            let isAlias = service.alias.nonEmpty == provider.name && service.appId == provider.app
            return self.provider(of: service) == provider
                || (isAlias && (service.environment ?? "") == provider.environment)
        }
        guard let some = versions.first?.value else {
            throw ServiceCenterError(
                .serviceMissing, "/\(self.tenant)/\(provider.app)/\(provider.name) does not exist.")
        }
        let found = self.provider(of: some)
        if let consumer { self.dependencies[consumer, default: []].insert(found) }
        let visible = versions.filter { _, service in
            app == nil || app == service.appId || service.properties?["allowCrossApp"] == "true"
        }
        let revision = self.revisions[found] ?? self.revision
        return (visible.keys.sorted().flatMap { self.instances(of: $0) }, String(revision, radix: 16))
    }

    /// The services that a consumer has looked up.
    func providers(of consumer: String) throws(ServiceCenterError) -> [ServiceEntity] {
        _ = try self.service(consumer)
        let wanted = self.dependencies[consumer] ?? []
        return self.services.values.filter { wanted.contains(self.provider(of: $0)) }
            .sorted { ($0.serviceId ?? "") < ($1.serviceId ?? "") }
    }

    /// Who has looked this service up.
    func consumers(of provider: Provider) -> [String] {
        self.dependencies.filter { $0.value.contains(provider) }.map(\.key)
    }

    /// What has happened since the last call.
    mutating func takeEvents() -> [(provider: Provider, event: WatchEvent)] {
        defer { self.events = [] }
        return self.events
    }

    // MARK: - Contracts

    mutating func setContract(
        _ contract: Contract, _ id: String, of serviceID: String
    ) throws(ServiceCenterError) {
        var service = try self.service(serviceID)
        if !(service.schemas ?? []).contains(id) { service.schemas = (service.schemas ?? []) + [id] }
        self.services[serviceID] = service
        self.contracts[serviceID, default: [:]][id] = contract
    }

    func contract(_ id: String, of serviceID: String) throws(ServiceCenterError) -> Contract {
        _ = try self.service(serviceID)
        guard let contract = self.contracts[serviceID]?[id] else {
            throw ServiceCenterError(.schemaMissing, "schema \(id) does not exist")
        }
        return contract
    }

    // MARK: -

    private func provider(of service: ServiceEntity) -> Provider {
        Provider(
            environment: service.environment ?? "", app: service.appId ?? "default", name: service.serviceName ?? "")
    }

    private func held(_ id: String, _ serviceID: String) throws(ServiceCenterError) -> Held {
        guard let held = self.instances[serviceID]?[id] else {
            throw ServiceCenterError(.instanceMissing, "instance \(serviceID)/\(id) does not exist")
        }
        return held
    }

    private static func missing(service id: String) -> ServiceCenterError {
        ServiceCenterError(.serviceMissing, "service \(id) does not exist")
    }

    private mutating func note(_ action: String, _ instance: InstanceEntity, _ service: ServiceEntity) {
        let provider = self.provider(of: service)
        self.touch(provider)
        let key = WatchEvent.Key(
            tenant: self.tenant, environment: service.environment.nonEmpty, appId: provider.app,
            serviceName: provider.name, version: service.version ?? "")
        self.events.append((provider, WatchEvent(action: action, key: key, instance: instance)))
    }

    private mutating func touch(_ provider: Provider) {
        self.revision &+= 1
        self.revisions[provider] = self.revision
    }
}

extension String? {
    /// `nil` for empty text too: the wire does not tell them apart.
    var nonEmpty: String? { self?.isEmpty == false ? self : nil }
}
