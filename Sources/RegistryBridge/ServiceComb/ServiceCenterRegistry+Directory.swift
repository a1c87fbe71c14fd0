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
                    instances += ServiceCenterRegistry.instances(entities, app: demand.app, &builder, nil)?.made ?? []
                }
                builder.add(name, instances)
            }
            return builder.build()
        }
    }

    /// The instances that can be called.
    ///
    /// Of several endpoints of one protocol the first one counts. An instance is there once for each address that the name of
    /// its host has.
    ///
    /// - Parameter hosts: What is known of names; `nil` where they are not looked up.
    /// - Returns: `nil` while a name is being looked up.
    static func instances(
        _ entities: [InstanceEntity], app: String, _ builder: inout ServiceDirectoryBuilder, _ hosts: NameBook?
    ) -> (made: [Instance], ignored: Int)? {
        var made: [Instance] = []
        var ignored = 0
        for entity in entities {
            var texts: [EndpointText] = []
            for text in entity.endpoints ?? [] {
                guard let endpoint = try? EndpointText(text) else {
                    ignored += 1
                    continue
                }
                if !texts.contains(where: { $0.protocolName == endpoint.protocolName }) { texts.append(endpoint) }
            }
            guard case .known(let places) = builder.places(of: texts, hosts) else { return nil }
            for endpoints in places where !endpoints.isEmpty {
                let id = entity.instanceId ?? endpoints[0].description
                made.append(
                    Instance(
                        id: places.count > 1 ? "\(id)@\(endpoints[0].host)" : id, version: entity.version ?? "",
                        app: app,
                        status: InstanceStatus(rawValue: entity.status ?? "UP") ?? .outOfService,
                        properties: entity.properties ?? [:], endpoints: endpoints,
                        region: entity.dataCenterInfo?.region ?? "", zone: entity.dataCenterInfo?.availableZone ?? ""))
            }
        }
        return (made, ignored)
    }
}
