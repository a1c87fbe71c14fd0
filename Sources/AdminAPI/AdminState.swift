// SPDX-License-Identifier: Apache-2.0

package import Common

/// What the admin API shows: slots and snapshots that others keep up to date.
///
/// It asks nobody a question.
package struct AdminState: Sendable {
    let identity: ServiceIdentity
    let build: BuildInfo
    let readiness: Readiness
    let health: LocalHealth
    let registry: RegistryStatus?
    let configServer: ConfigServerStatus
    let metrics: MetricsRegistry

    /// The state of one sidecar.
    ///
    /// - Parameter registry: `nil` when there is none that could be away.
    package init(
        identity: ServiceIdentity, build: BuildInfo, readiness: Readiness, health: LocalHealth,
        registry: RegistryStatus?, configServer: ConfigServerStatus, metrics: MetricsRegistry
    ) {
        self.identity = identity
        self.build = build
        self.readiness = readiness
        self.health = health
        self.registry = registry
        self.configServer = configServer
        self.metrics = metrics
    }
}
