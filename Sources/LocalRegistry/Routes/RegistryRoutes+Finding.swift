// SPDX-License-Identifier: Apache-2.0

import Common
import Hummingbird

extension RegistryRoutes {
    func addFinding(to table: inout RegistryTable) {
        table.add(.get, "\(Self.registry)/instances") { call in
            let (provider, consumer, tags) = (call.provider, call.consumer, call.list("tags"))
            try RegistryRules.checkSearch(provider)
            let found = try await self.store.update(call.tenant) { world, _ in
                try world.find(provider, consumer: consumer, tags: tags)
            }
            return try RegistryAnswer.found(
                found, rev: call.query("rev"), InstanceBodies.Many(instances: found.instances))
        }
        table.add(.post, "\(Self.registry)/instances/action") { call in
            let type = call.query("type")
            guard type == "query" else { throw ServiceCenterError(.invalidParameters, "Invalid action: \(type)") }
            let body = try await call.body(FindBodies.Request.self)
            let (services, instances) = (body.services ?? [], body.instances ?? [])
            guard !services.isEmpty || !instances.isEmpty else {
                throw ServiceCenterError(.invalidParameters, "Required services or instances")
            }
            // One bad line and nobody is answered.
            let providers = try services.map { line in try Self.provider(line) }
            for line in instances { try RegistryRules.checkInstanceID(line.instance?.instanceId ?? "") }
            let consumer = call.consumer
            let answer = try await self.store.update(call.tenant) { world, _ in
                let found =
                    services.isEmpty
                    ? nil
                    : Self.lists(services.map(\.rev)) { index throws(ServiceCenterError) in
                        try world.find(providers[index], consumer: consumer)
                    }
                let single =
                    instances.isEmpty
                    ? nil
                    : Self.lists(instances.map(\.rev)) { index throws(ServiceCenterError) in
                        let line = instances[index].instance
                        return try world.instance(line?.instanceId ?? "", of: line?.serviceId ?? "", consumer: consumer)
                    }
                return FindBodies.Answer(services: found, instances: single)
            }
            return try RegistryAnswer.json(answer)
        }
    }

    private static func provider(
        _ line: FindBodies.Request.Line
    ) throws(ServiceCenterError) -> RegistryState.Provider {
        guard let service = line.service else {
            throw ServiceCenterError(.invalidParameters, "a line has no 'service'")
        }
        let provider = RegistryState.Provider(
            environment: service.environment ?? "", app: service.appId ?? "", name: service.serviceName ?? "")
        try RegistryRules.checkSearch(provider)
        return provider
    }

    /// - Parameter revisions: What each line was asked with.
    private static func lists(
        _ revisions: [String?], _ find: (Int) throws(ServiceCenterError) -> RegistryState.Found
    ) -> FindBodies.Answer.Lists {
        var lists = FindBodies.Answer.Lists()
        for (index, revision) in revisions.enumerated() {
            do throws(ServiceCenterError) {
                let found = try find(index)
                if revision == found.revision {
                    lists.notModified = (lists.notModified ?? []) + [index]
                } else {
                    let updated = FindBodies.Answer.Updated(
                        index: index, rev: found.revision, instances: found.instances)
                    lists.updated = (lists.updated ?? []) + [updated]
                }
            } catch {
                var failed = lists.failed ?? []
                if let known = failed.firstIndex(where: { $0.error?.errorCode == error.errorCode }) {
                    failed[known].indexes = (failed[known].indexes ?? []) + [index]
                } else {
                    var error = error
                    error.detail = error.wrapped
                    failed.append(.init(indexes: [index], error: error))
                }
                lists.failed = failed
            }
        }
        return lists
    }
}
