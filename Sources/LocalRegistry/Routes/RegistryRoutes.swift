// SPDX-License-Identifier: Apache-2.0

import Common
import FoundationEssentials
import HTTPTypes
import Hummingbird

/// The part of service-center's API v4 that clients use, over a store.
///
/// - Source: service-center 2.2: paths, bodies, statuses and error codes.
struct RegistryRoutes: Sendable {
    static let registry = "/v4/{project}/registry"
    static let govern = "/v4/{project}/govern"
    static let oneService = "\(Self.registry)/microservices/{sid}"
    static let oneInstance = "\(Self.oneService)/instances/{iid}"

    let store: RegistryStore
    let address: String
    let version: String
    /// `nil` where no test may ask for any.
    let faults: Faults?

    func makeTable() -> RegistryTable {
        var table = RegistryTable(faults: self.faults)
        if let faults = self.faults { FaultRoutes(faults: faults, store: self.store).add(to: &table) }
        self.addSystem(to: &table)
        self.addServices(to: &table)
        self.addTags(to: &table)
        self.addContracts(to: &table)
        self.addInstances(to: &table)
        self.addFinding(to: &table)
        self.addViews(to: &table)
        return table
    }

    /// 32 hexadecimal digits.
    static func newID() -> String { UUID().uuidString.replacing("-", with: "").lowercased() }

    /// Does something, and has nothing to say.
    func change(
        _ call: RegistryCall, _ body: @escaping @Sendable (inout RegistryState, RegistryState.Moment) throws -> Void
    ) async throws -> Response {
        try await self.store.update(call.tenant, body)
        return RegistryAnswer.done
    }

    /// Looks something up.
    func read<Result: Sendable>(
        _ call: RegistryCall, _ body: @escaping @Sendable (RegistryState) throws -> Result
    ) async throws -> Result {
        try await self.store.update(call.tenant) { world, _ in try body(world) }
    }

    private func addSystem(to table: inout RegistryTable) {
        table.add(.get, "\(Self.registry)/health") { _ in
            let own = InstanceEntity(
                instanceId: "local", serviceId: "local", endpoints: ["rest://\(self.address)/"], hostName: "localhost",
                status: "UP", healthCheck: .init(interval: 30, times: 3), version: self.version)
            return try RegistryAnswer.json(InstanceBodies.Many(instances: [own]))
        }
        table.add(.get, "\(Self.registry)/version") { _ in
            try RegistryAnswer.json(["version": self.version, "apiVersion": "4.0.0", "runMode": "local"])
        }
    }

    private func addServices(to table: inout RegistryTable) {
        table.add(.get, "\(Self.registry)/existence") { call in try await self.exists(call) }
        table.add(.get, "\(Self.registry)/microservices") { call in
            let services = try await self.read(call) { $0.services.sorted { $0.key < $1.key }.map(\.value) }
            return try RegistryAnswer.json(ServiceBodies.Many(services: services))
        }
        table.add(.post, "\(Self.registry)/microservices") { call in
            let body = try await call.body(ServiceBodies.One.self)
            guard let service = body.service else {
                throw ServiceCenterError(.invalidParameters, "Request body is empty")
            }
            let id = try await self.store.update(call.tenant) { world, now in
                let id = try world.register(service, at: now)
                if let tags = body.tags?.nonEmpty {
                    try RegistryRules.checkTags(tags)
                    try world.setTags(tags, of: id)
                }
                for instance in body.instances ?? [] {
                    _ = try world.register(instance, of: id, id: Self.newID(), at: now)
                }
                return id
            }
            return try RegistryAnswer.json(ServiceBodies.Identity(serviceId: id))
        }
        table.add(.get, Self.oneService) { call in
            try RegistryAnswer.json(
                ServiceBodies.One(service: try await self.read(call) { try $0.service(call.service) }))
        }
        table.add(.delete, Self.oneService) { call in
            let isForced = try call.flag("force", ["true": true, "false": false, "1": true, "0": false])
            return try await self.change(call) { world, _ in try world.remove(service: call.service, isForced: isForced)
            }
        }
        table.add(.put, "\(Self.oneService)/properties") { call in
            let properties = try await call.body(ServiceBodies.Properties.self).properties ?? [:]
            return try await self.change(call) { world, now in
                try world.setProperties(properties, ofService: call.service, at: now)
            }
        }
        table.add(.get, "\(Self.oneService)/providers") { call in
            let services = try await self.read(call) { try $0.providers(of: call.service) }
            return try RegistryAnswer.json(services.isEmpty ? [:] : ["providers": services])
        }
        table.add(.get, "\(Self.oneService)/consumers") { call in
            let services = try await self.read(call) { try $0.consumers(ofService: call.service) }
            return try RegistryAnswer.json(services.isEmpty ? [:] : ["consumers": services])
        }
    }

    private func exists(_ call: RegistryCall) async throws -> Response {
        switch call.query("type") {
        case "microservice":
            let (provider, version) = (call.provider, call.query("version"))
            try RegistryRules.checkSearch(provider)
            try RegistryRules.checkVersion(version, mayBeEmpty: false)
            let id = try await self.read(call) { try $0.serviceID(of: provider, version: version) }
            return try RegistryAnswer.json(ServiceBodies.Identity(serviceId: id))
        case "schema":
            let (service, id) = (call.query("serviceId"), call.query("schemaId"))
            let contract = try await self.read(call) { try $0.contract(id, of: service) }
            return try RegistryAnswer.json(
                ["serviceId": service, "schemaId": id], headers: [.schemaSummary: contract.summary])
        default:
            throw ServiceCenterError(.invalidParameters, "Only micro-service and schema can be used as type.")
        }
    }

    private struct Tags: Codable {
        var tags: [String: String]?
    }

    private func addTags(to table: inout RegistryTable) {
        let path = "\(Self.oneService)/tags"
        table.add(.get, path) { call in
            let tags = try await self.read(call) { world in
                _ = try world.service(call.service)
                return world.tags[call.service] ?? [:]
            }
            return try RegistryAnswer.json(Tags(tags: tags.nonEmpty))
        }
        table.add(.post, path) { call in
            let tags = try await call.body(Tags.self).tags ?? [:]
            try RegistryRules.checkTags(tags)
            return try await self.change(call) { world, _ in try world.setTags(tags, of: call.service) }
        }
        table.add(.put, "\(path)/{key}") { call in
            let (key, value) = (call.parameter("key"), call.query("value"))
            try RegistryRules.checkTags([key: value])
            return try await self.change(call) { world, _ in try world.setTag(key, value, of: call.service) }
        }
        table.add(.delete, "\(path)/{key}") { call in
            let keys = call.parameter("key").split(separator: ",").map(String.init)
            for key in keys { try RegistryRules.checkTag(key) }
            return try await self.change(call) { world, _ in try world.removeTags(keys, of: call.service) }
        }
    }
}
