// SPDX-License-Identifier: Apache-2.0

package import Common
package import NIOCore
package import Proxy

/// The stages of outgoing requests, in their order.
///
/// What the chain ends in, `transport`, is no stage: when all have proceeded, the driver sends the request.
package struct EgressStages {
    /// What stages are made of.
    package struct Parts: Sendable {
        /// The sidecar's listeners.
        package let own: OwnListeners
        /// Marks and their limits.
        package let marks: Marks
        /// The longest time to connect.
        package let connect: TimeAmount
        /// What is traced; `nil` for nothing.
        package let tracing: TracingConfig?
    }

    /// Makes the stage of a handler; `nil` where the driver does by itself what the handler asks for, or nothing is to do.
    package typealias Maker = @Sendable (Parts) -> (any Stage)?

    /// Of requests to services, first to last.
    package let inOrder: [any Stage]
    /// Of requests to external hosts.
    package let external: [any Stage]
    /// Of copies of requests: what finds their endpoint.
    package let mirrors: [any Stage]

    /// The handlers that chains may name, and what makes the stage of each.
    ///
    /// To add one, add a line here and one in ``HandlerName/all``.
    package static let handlers: [String: Maker] = [
        RouteStage.name: { _ in RouteStage() },
        RateLimitStage.name: { _ in RateLimitStage() },
        CircuitBreakerStage.name: { _ in CircuitBreakerStage() },
        LoadBalanceStage.name: { LoadBalanceStage(own: $0.own, limit: $0.connect) },
        FaultStage.name: { _ in FaultStage() },
        PortSelectorStage.name: { _ in PortSelectorStage() },
        MarkerStage.name: { MarkerStage($0.marks) },
        MarkLimitStage.name: { MarkLimitStage($0.marks) },
        "tracing-consumer": { $0.tracing.map { TracingStage($0) } },
        "access-log": { _ in nil },
        "monitoring": { _ in nil },
    ]

    /// The chains that a configuration asks for.
    ///
    /// - Parameter own: The sidecar's listeners.
    /// - Parameter resolver: Finds the service that a request names.
    /// - Parameter streamResolver: The same for gRPC.
    /// - Parameter token: Marks requests that have left through here.
    /// - Parameter marks: Marks and their limits.
    /// - Parameter handlers: The table, or another one in tests of handlers.
    package init(
        _ config: MesherConfig, own: OwnListeners, resolver: any DestinationResolver,
        grpc streamResolver: any DestinationResolver = HostResolver(), token: HopToken,
        marks: Marks, handlers: [String: Maker] = EgressStages.handlers
    ) {
        let first = DestinationStage(
            resolver, grpc: streamResolver, own: own, source: config.identity.name, token: token,
            hosts: ExternalDestinations(limit: config.proxy.connect))
        let parts = Parts(own: own, marks: marks, connect: config.proxy.connect, tracing: config.tracing)
        let chains = config.governance.chains
        // Before the destination is known, so that a misspelt name is seen in traces; the same for external hosts, since
        // what finds out which chain applies must stand at the same place of both.
        let tracing = "tracing-consumer"
        let isTraced = chains.outgoing.contains(tracing)
        func make(_ names: [String]) -> [any Stage] {
            names.filter { !isTraced || $0 != tracing }.compactMap { handlers[$0]?(parts) }
        }
        let start: [any Stage] = (isTraced ? handlers[tracing]?(parts) : nil).map { [$0, first] } ?? [first]
        self.inOrder = start + make(chains.outgoing)
        self.external = start + make(chains.egress)
        self.mirrors = make(chains.outgoing.filter { $0 == LoadBalanceStage.name || $0 == PortSelectorStage.name })
    }
}
