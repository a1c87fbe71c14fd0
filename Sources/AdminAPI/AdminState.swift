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
    let explain: @Sendable (ExplainQuestion) throws -> Explanation

    /// The state of one sidecar.
    ///
    /// - Parameter registry: `nil` when there is none that could be away.
    /// - Parameter explain: Says what would become of a request; throws when the question is none.
    package init(
        identity: ServiceIdentity, build: BuildInfo, readiness: Readiness, health: LocalHealth,
        registry: RegistryStatus?, configServer: ConfigServerStatus, metrics: MetricsRegistry,
        explain: @escaping @Sendable (ExplainQuestion) throws -> Explanation
    ) {
        self.identity = identity
        self.build = build
        self.readiness = readiness
        self.health = health
        self.registry = registry
        self.configServer = configServer
        self.metrics = metrics
        self.explain = explain
    }
}
