// SPDX-License-Identifier: Apache-2.0

import Common
import Logging
import NIOCore
import RegistryBridge
import TLS

/// A service-center, and what is known of it before anything runs.
struct Center: Sendable {
    let client: ServiceCenterClient
    /// `nil` for plain text.
    let tls: ControlTLS?
    let cache: DiscoveryCache
    let saved: ServiceCenterRegistry.Saved

    /// - Throws: `MesherError.configuration` when its TLS cannot be used.
    /// - Returns: `nil` where none is configured.
    static func of(
        _ config: MesherConfig, loops: any EventLoopGroup, logger: Logger
    ) throws(MesherError) -> Center? {
        let (registry, identity) = (config.registry, config.identity)
        guard registry.uses(.serviceCenter), !registry.centers.isEmpty else { return nil }
        let tls = try ControlTLS.of(registry.tls, logger: logger)
        let client = ServiceCenterClient(
            addresses: registry.centers, project: registry.project, tenant: registry.tenant,
            account: registry.account, tls: tls, loops: loops, logger: logger)
        let cache = DiscoveryCache(
            directory: StateDirectory.path(registry.stateDirectory),
            owner: [identity.app, identity.name, "\(config.listeners.outgoing.port)"],
            registry: "\(registry.centers.joined(separator: ","))/\(registry.tenant)/\(registry.project)",
            logger: logger)
        return Center(client: client, tls: tls, cache: cache, saved: ServiceCenterRegistry.Saved(cache))
    }
}
