// SPDX-License-Identifier: Apache-2.0

package import Common

/// What becomes of the registry's words in a directory.
extension ServiceCenterRegistry {
    /// What an earlier process has left on disk.
    package struct Saved: Sendable {
        let services: [ServiceDemand: [InstanceEntity]]

        /// Reads it.
        package init(_ cache: DiscoveryCache) { self.services = cache.load() }

        /// The directory to begin with, before anything runs.
        package func directory(app: String) -> ServiceDirectory {
            var builder = ServiceDirectoryBuilder(upon: .empty, ownApp: app)
            builder.isSynced = !self.services.isEmpty
            builder.isComplete = false
            builder.known = Set(self.services.keys)
            for (name, demands) in Dictionary(grouping: self.services.keys, by: \.name) {
                var instances: [Instance] = []
                for demand in demands.sorted() {
                    let entities = self.services[demand] ?? []
                    instances += ServiceCenterRegistry.instances(entities, app: demand.app, &builder).made
                }
                builder.add(name, instances)
            }
            return builder.build()
        }
    }

    /// The instances that can be called; of several endpoints of one protocol the first.
    static func instances(
        _ entities: [InstanceEntity], app: String, _ builder: inout ServiceDirectoryBuilder
    ) -> (made: [Instance], ignored: Int) {
        var made: [Instance] = []
        var ignored = 0
        for entity in entities {
            var endpoints: [Endpoint] = []
            for text in entity.endpoints ?? [] {
                guard let endpoint = try? builder.endpoint(text) else {
                    ignored += 1
                    continue
                }
                if !endpoints.contains(where: { $0.protocolName == endpoint.protocolName }) {
                    endpoints.append(endpoint)
                }
            }
            guard !endpoints.isEmpty else { continue }
            made.append(
                Instance(
                    id: entity.instanceId ?? endpoints[0].description, version: entity.version ?? "", app: app,
                    status: InstanceStatus(rawValue: entity.status ?? "UP") ?? .outOfService,
                    properties: entity.properties ?? [:], endpoints: endpoints,
                    region: entity.dataCenterInfo?.region ?? "", zone: entity.dataCenterInfo?.availableZone ?? ""))
        }
        return (made, ignored)
    }
}
