// SPDX-License-Identifier: Apache-2.0

import Common
import Hummingbird

extension RegistryRoutes {
    /// A service and what belongs to it.
    private struct Detail: Encodable {
        var microService: ServiceEntity
        var instances: [InstanceEntity]?
        var schemaInfos: [ContractBody]?
        var consumers: [ServiceEntity]?
        var providers: [ServiceEntity]?
        var tags: [String: String]?
        var microServiceVersions: [String]?

        /// - Parameter parts: Which of the members are wanted.
        init(_ service: ServiceEntity, _ parts: Set<String>, in world: RegistryState) {
            let id = service.serviceId ?? ""
            self.microService = service
            if parts.contains("instances") {
                self.instances = (try? world.instances(of: id, consumer: nil))?.instances.nonEmpty
            }
            if parts.contains("schemas") {
                self.schemaInfos = RegistryRoutes.contracts(of: id, isWhole: true, in: world).nonEmpty
            }
            if parts.contains("dependencies") {
                self.consumers = (try? world.consumers(ofService: id))?.nonEmpty
                self.providers = (try? world.providers(of: id))?.nonEmpty
            }
            if parts.contains("tags") { self.tags = world.tags[id]?.nonEmpty }
        }
    }

    private static let allParts: Set<String> = ["tags", "instances", "schemas", "dependencies"]

    func addViews(to table: inout RegistryTable) {
        table.add(.get, "\(Self.govern)/apps") { call in
            let environment = call.query("env")
            let apps = try await self.read(call) { world in
                let services = world.services.values.filter { ($0.environment ?? "") == environment }
                return Set(services.compactMap(\.appId)).sorted()
            }
            return try RegistryAnswer.json(apps.isEmpty ? [:] : ["appIds": apps])
        }
        table.add(.get, "\(Self.govern)/microservices") { call in
            let options = Set(call.list("options"))
            let parts = options.contains("all") ? Self.allParts : options
            let wanted = call.provider
            let details = try await self.read(call) { world in
                world.services.sorted { $0.key < $1.key }.map(\.value)
                    .filter { Self.fits($0, wanted) }
                    .map { service in
                        var detail = Detail(service, parts, in: world)
                        // This view of the real registry has none of them either, so clients must not come to need
                        // them.
                        detail.microService.properties = nil
                        detail.microService.schemas = nil
                        for index in (detail.instances ?? []).indices { detail.instances?[index].properties = nil }
                        return detail
                    }
            }
            return try RegistryAnswer.json(details.isEmpty ? [:] : ["allServicesDetail": details])
        }
        table.add(.get, "\(Self.govern)/microservices/{sid}") { call in
            let detail = try await self.read(call) { world in
                let service = try world.service(call.service)
                var detail = Detail(service, Self.allParts, in: world)
                let versions = world.identities[world.provider(of: service)] ?? [:]
                detail.microServiceVersions = versions.keys.sorted().nonEmpty
                return detail
            }
            return try RegistryAnswer.json(["service": detail])
        }
    }

    private static func fits(_ service: ServiceEntity, _ wanted: RegistryState.Provider) -> Bool {
        func isWell(_ wanted: String, _ value: String?) -> Bool { wanted.isEmpty || wanted == value ?? "" }
        return isWell(wanted.environment, service.environment) && isWell(wanted.app, service.appId)
            && isWell(wanted.name, service.serviceName)
    }
}
