// SPDX-License-Identifier: Apache-2.0

import Common
import Foundation
import HTTPTypes
import Hummingbird
import NIOCore

/// The part of service-center's API v4 that clients use, over a store.
///
/// - Source: service-center 2.1: paths, bodies, statuses and error codes.
struct RegistryRoutes: Sendable {
    typealias Context = BasicRequestContext

    let store: RegistryStore
    let address: String
    let version: String

    func makeRouter() -> Router<Context> {
        let router = Router(context: Context.self)
        router.add(middleware: RegistryErrors())
        let registry = router.group("/v4/{project}/registry")
        self.addSystem(registry)
        self.addServices(registry)
        self.addInstances(registry)
        self.addFinding(registry)
        self.addContracts(registry)
        self.addViews(router.group("/v4/{project}/govern"))
        return router
    }

    private func addSystem(_ group: RouterGroup<Context>) {
        group.get("health") { _, _ in
            let own = InstanceEntity(
                instanceId: "local", serviceId: "local", endpoints: ["rest://\(self.address)/"], hostName: "localhost",
                status: "UP", healthCheck: .init(interval: 30, times: 3), version: self.version)
            return try Self.json(InstanceBodies.Many(instances: [own]))
        }
        group.get("version") { _, _ in
            try Self.json(["version": self.version, "apiVersion": "4.0.0", "runMode": "local"])
        }
    }

    private func addServices(_ group: RouterGroup<Context>) {
        group.get("existence") { request, context in
            let query = request.uri.queryParameters
            let tenant = try Self.tenant(request, context)
            if query["type"] == "schema" {
                let (service, id) = (String(query["serviceId"] ?? ""), String(query["schemaId"] ?? ""))
                let contract = try await self.store.update(tenant) { world, _ in try world.contract(id, of: service) }
                return try Self.json(
                    ["serviceId": service, "schemaId": id], headers: [Self.summaryField: contract.summary])
            }
            let provider = Self.provider(request)
            let version = String(query["version"] ?? "")
            try RegistryRules.checkVersion(version)
            let id = try await self.store.update(tenant) { world, _ in
                guard let id = world.serviceID(of: provider, version: version) else {
                    throw ServiceCenterError(
                        .serviceMissing, "/\(tenant)/\(provider.name)/\(version) does not exist.")
                }
                return id
            }
            return try Self.json(ServiceBodies.Identity(serviceId: id))
        }
        group.post("microservices") { request, context in
            let body = try await Self.body(ServiceBodies.One.self, request)
            guard let service = body.service else {
                throw ServiceCenterError(.invalidParameters, "the body has no 'service'")
            }
            let id = try await self.store.update(try Self.tenant(request, context)) { world, now in
                let id = try world.register(service, id: Self.newID(), at: now)
                for instance in body.instances ?? [] {
                    _ = try world.register(instance, of: id, id: Self.newID(), at: now)
                }
                return id
            }
            return try Self.json(ServiceBodies.Identity(serviceId: id))
        }
        group.get("microservices") { request, context in
            let services = try await self.store.update(try Self.tenant(request, context)) { world, _ in
                world.services.sorted { $0.key < $1.key }.map(\.value)
            }
            return try Self.json(ServiceBodies.Many(services: services))
        }
        group.get("microservices/{sid}") { request, context in
            let id = try Self.serviceID(context)
            let service = try await self.store.update(try Self.tenant(request, context)) { world, _ in
                try world.service(id)
            }
            return try Self.json(ServiceBodies.One(service: service))
        }
        group.delete("microservices/{sid}") { request, context in
            let id = try Self.serviceID(context)
            let isForced = request.uri.queryParameters["force"] == "true"
            try await self.store.update(try Self.tenant(request, context)) { world, _ in
                try world.remove(service: id, isForced: isForced)
            }
            return Self.done
        }
        group.put("microservices/{sid}/properties") { request, context in
            let id = try Self.serviceID(context)
            let body = try await Self.body(ServiceBodies.Properties.self, request)
            try await self.store.update(try Self.tenant(request, context)) { world, now in
                try world.setProperties(body.properties ?? [:], ofService: id, at: now)
            }
            return Self.done
        }
    }

    private func addInstances(_ group: RouterGroup<Context>) {
        group.post("microservices/{sid}/instances") { request, context in
            let service = try Self.serviceID(context)
            guard let instance = try await Self.body(InstanceBodies.One.self, request).instance else {
                throw ServiceCenterError(.invalidParameters, "the body has no 'instance'")
            }
            let id = try await self.store.update(try Self.tenant(request, context)) { world, now in
                try world.register(instance, of: service, id: Self.newID(), at: now)
            }
            return try Self.json(InstanceBodies.Identity(instanceId: id))
        }
        group.get("microservices/{sid}/instances") { request, context in
            let service = try Self.serviceID(context)
            let instances = try await self.store.update(try Self.tenant(request, context)) { world, _ in
                _ = try world.service(service)
                return world.instances(of: service)
            }
            return try Self.json(InstanceBodies.Many(instances: instances))
        }
        let one = group.group("microservices/{sid}/instances/{iid}")
        one.get { request, context in
            let (service, id) = (try Self.serviceID(context), try context.parameters.require("iid"))
            let instance = try await self.store.update(try Self.tenant(request, context)) { world, _ in
                try world.instance(id, of: service)
            }
            return try Self.json(InstanceBodies.One(instance: instance))
        }
        one.delete { request, context in
            try await self.change(request, context) { world, service, id, _ in try world.remove(id, of: service) }
        }
        one.put("heartbeat") { request, context in
            try await self.change(request, context) { world, service, id, now in
                try world.renew(id, of: service, at: now)
            }
        }
        one.put("status") { request, context in
            let value = String(request.uri.queryParameters["value"] ?? "")
            try RegistryRules.checkStatus(value)
            return try await self.change(request, context) { world, service, id, now in
                try world.change(id, of: service, at: now) { $0.status = value }
            }
        }
        one.put("properties") { request, context in
            let properties = try await Self.body(ServiceBodies.Properties.self, request).properties ?? [:]
            return try await self.change(request, context) { world, service, id, now in
                try world.change(id, of: service, at: now) { $0.properties = properties }
            }
        }
        group.put("heartbeats") { request, context in
            let lines = try await Self.body(InstanceBodies.Heartbeats.self, request).instances ?? []
            guard !lines.isEmpty else { throw ServiceCenterError(.invalidParameters, "the list is empty") }
            let answers = try await self.store.update(try Self.tenant(request, context)) { world, now in
                lines.map { line in
                    var line = line
                    do throws(ServiceCenterError) {
                        try world.renew(line.instanceId ?? "", of: line.serviceId ?? "", at: now)
                    } catch {
                        line.errMessage = error.errorMessage
                    }
                    return line
                }
            }
            return try Self.json(InstanceBodies.Heartbeats(instances: answers))
        }
    }

    private func addFinding(_ group: RouterGroup<Context>) {
        group.get("instances") { request, context in
            let query = request.uri.queryParameters
            let provider = Self.provider(request)
            guard !provider.name.isEmpty, query["appId"] != nil else {
                throw ServiceCenterError(.invalidParameters, "appId and serviceName are required")
            }
            let consumer = Self.consumer(request)
            let found = try await self.store.update(try Self.tenant(request, context)) { world, _ in
                try world.find(provider, consumer: consumer)
            }
            let headers: HTTPFields = [Self.revisionField: found.revision]
            if String(query["rev"] ?? "") == found.revision { return Response(status: .notModified, headers: headers) }
            return try Self.json(InstanceBodies.Many(instances: found.instances), headers: headers)
        }
        group.post("instances/action") { request, context in
            guard request.uri.queryParameters["type"] == "query" else {
                throw ServiceCenterError(.invalidParameters, "type must be query")
            }
            let lines = try await Self.body(FindBodies.Request.self, request).services ?? []
            let consumer = Self.consumer(request)
            let lists = try await self.store.update(try Self.tenant(request, context)) { world, _ in
                Self.find(lines, consumer: consumer, in: &world)
            }
            return try Self.json(FindBodies.Answer(services: lists))
        }
        group.get("microservices/{sid}/providers") { request, context in
            let id = try Self.serviceID(context)
            let services = try await self.store.update(try Self.tenant(request, context)) { world, _ in
                try world.providers(of: id)
            }
            return try Self.json(services.isEmpty ? [:] : ["providers": services])
        }
    }

    private static func find(
        _ lines: [FindBodies.Request.Line], consumer: String?, in world: inout RegistryState
    ) -> FindBodies.Answer.Lists {
        var lists = FindBodies.Answer.Lists()
        for (index, line) in lines.enumerated() {
            let service = line.service
            let provider = RegistryState.Provider(
                environment: service?.environment ?? "", app: service?.appId.nonEmpty ?? "default",
                name: service?.serviceName ?? "")
            do throws(ServiceCenterError) {
                let found = try world.find(provider, consumer: consumer)
                if line.rev == found.revision {
                    lists.notModified = (lists.notModified ?? []) + [index]
                } else {
                    lists.updated =
                        (lists.updated ?? [])
                        + [.init(index: index, rev: found.revision, instances: found.instances)]
                }
            } catch {
                var failed = lists.failed ?? []
                if let known = failed.firstIndex(where: { $0.error?.errorCode == error.errorCode }) {
                    failed[known].indexes = (failed[known].indexes ?? []) + [index]
                } else {
                    failed.append(.init(indexes: [index], error: error))
                }
                lists.failed = failed
            }
        }
        return lists
    }
}
