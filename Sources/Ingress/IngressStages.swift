// SPDX-License-Identifier: Apache-2.0

package import Common
package import Proxy

/// The stages of incoming requests, in their order.
///
/// What the chain ends in, `transport`, is no stage: when all have proceeded, the driver sends the request.
package struct IngressStages {
    /// First to last.
    package let inOrder: [any Stage]

    /// The handlers that chains may name, and what makes the stage of each.
    ///
    /// To add one, add a line here and one in ``HandlerName/all``.
    package static let handlers: [String: @Sendable (ProviderPolicy, TracingConfig?) -> (any Stage)?] = [
        ProviderRateLimitStage.name: { policy, _ in ProviderRateLimitStage(policy: policy) },
        ProviderBreakerStage.name: { policy, _ in ProviderBreakerStage(policy: policy) },
        MarkerStage.name: { policy, _ in MarkerStage(policy.marks) },
        MarkLimitStage.name: { policy, _ in MarkLimitStage(policy.marks) },
        "tracing-provider": { _, tracing in tracing.map { TracingStage($0) } },
        // What the driver does by itself.
        "access-log": { _, _ in nil },
        "monitoring": { _, _ in nil },
    ]

    /// The chain that a configuration asks for.
    package init(_ config: MesherConfig, _ policy: ProviderPolicy) {
        let first = LocalApplicationStage(
            identity: config.identity, application: policy.application, ownPorts: config.listeners.ports,
            timeout: policy.timeout)
        self.inOrder =
            [first]
            + config.governance.chains.incoming.compactMap {
                Self.handlers[$0]?(policy, config.tracing)
            }
    }
}
