// SPDX-License-Identifier: Apache-2.0

import Common

extension RegistryState {
    /// Instances, and what to ask with next time.
    struct Found: Sendable {
        let instances: [InstanceEntity]
        /// 40 digits that change with the instances.
        let revision: String

        init(_ held: [Held]) {
            self.instances = held.map(\.instance)
            self.revision = SHA1.digits(of: held.map { "\($0.instance.instanceId ?? "")/\($0.edition)" }.joined())
        }
    }

    /// The instances of all versions of a service, as far as the consumer may see them.
    ///
    /// - Parameter consumer: The id of the service that asks; its environment decides. Without one nobody is told of
    ///   changes.
    /// - Parameter tags: Keys that the service's tags must have.
    mutating func find(
        _ provider: Provider, consumer: String?, tags: [String] = []
    ) throws(ServiceCenterError) -> Found {
        let own = try self.consumer(consumer)
        let environment = own.map { $0.environment ?? "" } ?? provider.environment
        let provider = Provider(environment: environment, app: provider.app, name: provider.name)
        guard let versions = self.identities[provider] ?? self.aliases[provider] else {
            throw ServiceCenterError(
                .serviceMissing,
                "\(Self.name("Consumer", own, in: environment)) find provider[\(provider.environment)/\(provider.app)/\(provider.name)]"
                    + " failed, provider does not exist")
        }
        let services = versions.values.sorted().compactMap { self.services[$0] }.filter { service in
            let isVisible =
                own == nil || own?.appId == service.appId || service.properties?["allowCrossApp"] == "true"
            return isVisible && self.has(tags, service.serviceId ?? "")
        }
        if let consumer, let some = services.first {
            self.dependencies[consumer, default: []].insert(self.provider(of: some))
        }
        return Found(services.flatMap { self.held($0.serviceId ?? "") })
    }

    /// The instances of one version, for whoever knows its id.
    func instances(of id: String, consumer: String?, tags: [String] = []) throws(ServiceCenterError) -> Found {
        let own = try self.consumer(consumer)
        let service = try self.known(id)
        guard self.has(tags, id) else {
            throw ServiceCenterError(
                .serviceMissing,
                "\(Self.name("Consumer", own)) find \(Self.name("provider", service)) instances failed, provider instance"
                    + " does not exist")
        }
        return Found(self.held(id))
    }

    /// One instance.
    func instance(_ instance: String, of id: String, consumer: String?) throws(ServiceCenterError) -> Found {
        let own = try self.consumer(consumer)
        let service = try self.known(id)
        guard let held = self.instances[id]?[instance] else {
            throw ServiceCenterError(
                .instanceMissing,
                "\(Self.name("Consumer", own)) find \(Self.name("provider", service)) instance[\(instance)] failed, provider"
                    + " instance does not exist")
        }
        return Found([held])
    }

    /// The services that a consumer has looked up.
    func providers(of consumer: String) throws(ServiceCenterError) -> [ServiceEntity] {
        _ = try self.service(consumer)
        return (self.dependencies[consumer] ?? []).flatMap { self.identities[$0]?.values.sorted() ?? [] }.sorted()
            .compactMap { self.services[$0] }
    }

    /// The services that have looked this one up.
    func consumers(ofService id: String) throws(ServiceCenterError) -> [ServiceEntity] {
        let service = try self.service(id)
        return self.consumers(of: self.provider(of: service)).sorted().compactMap { self.services[$0] }
    }

    /// Who has looked this service up.
    func consumers(of provider: Provider) -> [String] {
        self.dependencies.filter { $0.value.contains(provider) }.map(\.key)
    }

    /// In the order of their ids.
    private func held(_ id: String) -> [Held] {
        (self.instances[id] ?? [:]).sorted { $0.key < $1.key }.map(\.value)
    }

    private func has(_ tags: [String], _ id: String) -> Bool {
        tags.allSatisfy { self.tags[id]?[$0] != nil }
    }

    private func consumer(_ id: String?) throws(ServiceCenterError) -> ServiceEntity? {
        guard let id else { return nil }
        guard let own = self.services[id] else {
            throw ServiceCenterError(.serviceMissing, "Consumer[\(id)] does not exist.")
        }
        return own
    }

    private func known(_ id: String) throws(ServiceCenterError) -> ServiceEntity {
        guard let service = self.services[id] else {
            throw ServiceCenterError(.serviceMissing, "Provider[\(id)] does not exist.")
        }
        return service
    }

    /// How errors name a service; `role` is what it is in the call.
    private static func name(_ role: String, _ service: ServiceEntity?, in environment: String? = nil) -> String {
        let names = [service?.environment ?? environment, service?.appId, service?.serviceName, service?.version]
        return "\(role)[\(service?.serviceId ?? "")][\(names.map { $0 ?? "" }.joined(separator: "/"))]"
    }
}
