// SPDX-License-Identifier: Apache-2.0

import Common
import Hummingbird

extension RegistryRoutes {
    func addInstances(to table: inout RegistryTable) {
        table.add(.post, "\(Self.oneService)/instances") { call in
            guard let instance = try await call.body(InstanceBodies.One.self).instance else {
                throw ServiceCenterError(.invalidParameters, "Request body is empty")
            }
            let id = try await self.store.update(call.tenant) { world, now in
                try world.register(instance, of: call.service, id: Self.newID(), at: now)
            }
            return try RegistryAnswer.json(InstanceBodies.Identity(instanceId: id))
        }
        table.add(.get, "\(Self.oneService)/instances") { call in
            let (consumer, tags) = (call.consumer, call.list("tags"))
            let found = try await self.read(call) {
                try $0.instances(of: call.service, consumer: consumer, tags: tags)
            }
            return try RegistryAnswer.found(
                found, rev: call.query("rev"), InstanceBodies.Many(instances: found.instances))
        }
        table.add(.get, Self.oneInstance) { call in
            try RegistryRules.checkInstanceID(call.instance)
            let consumer = call.consumer
            let found = try await self.read(call) {
                try $0.instance(call.instance, of: call.service, consumer: consumer)
            }
            return try RegistryAnswer.found(
                found, rev: call.query("rev"), ["instance": found.instances.first])
        }
        table.add(.delete, Self.oneInstance) { call in
            try await self.change(call) { world, now in try world.remove(call.instance, of: call.service, at: now) }
        }
        table.add(.put, "\(Self.oneInstance)/heartbeat") { call in
            try await self.change(call) { world, now in try world.renew(call.instance, of: call.service, at: now) }
        }
        table.add(.get, "\(Self.oneInstance)/heartbeat") { _ in Self.noWebSocket }
        table.add(.get, "\(Self.oneService)/watcher") { _ in Self.noWebSocket }
        table.add(.put, "\(Self.oneInstance)/status") { call in
            let value = call.query("value")
            try RegistryRules.checkStatus(value)
            return try await self.change(call) { world, now in
                try world.change(call.instance, of: call.service, at: now) { $0.status = value }
            }
        }
        table.add(.put, "\(Self.oneInstance)/properties") { call in
            let properties = try await call.body(ServiceBodies.Properties.self).properties ?? [:]
            return try await self.change(call) { world, now in
                try world.change(call.instance, of: call.service, at: now) { $0.properties = properties }
            }
        }
        table.add(.put, "\(Self.registry)/heartbeats") { call in
            let lines = try await call.body(InstanceBodies.Heartbeats.self).instances ?? []
            guard !lines.isEmpty else { throw ServiceCenterError(.invalidParameters, "Request format invalid.") }
            let answers = try await self.store.update(call.tenant) { world, now in Self.renew(lines, in: &world, now) }
            return try RegistryAnswer.json(InstanceBodies.Heartbeats(instances: answers))
        }
    }

    /// What a plain request gets where a WebSocket is served.
    private static var noWebSocket: Response {
        RegistryAnswer.text(.badRequest, "Bad Request", headers: [.secWebSocketVersion: "13"])
    }

    /// Each instance once, however often it is named.
    private static func renew(
        _ lines: [InstanceBodies.Heartbeats.Line], in world: inout RegistryState, _ now: RegistryState.Moment
    ) -> [InstanceBodies.Heartbeats.Line] {
        var answers: [InstanceBodies.Heartbeats.Line] = []
        for line in lines {
            guard !answers.contains(where: { $0.serviceId == line.serviceId && $0.instanceId == line.instanceId })
            else {
                continue
            }
            var answer = line
            do throws(ServiceCenterError) {
                answer.errMessage = nil
                try world.renew(line.instanceId ?? "", of: line.serviceId ?? "", at: now)
            } catch {
                answer.errMessage = error.wrapped
            }
            answers.append(answer)
        }
        return answers
    }
}

extension ServiceCenterError {
    /// The error inside another's text.
    var wrapped: String { "\(self.errorMessage ?? "")(\(self.detail ?? ""))" }
}
