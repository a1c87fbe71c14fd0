// SPDX-License-Identifier: Apache-2.0

package import Common
package import Proxy

/// The stages of outgoing requests, in their order.
///
/// What the chain ends in, `transport`, is no stage: when all have proceeded, the driver sends the request.
package struct EgressStages {
    /// First to last.
    package let inOrder: [any Stage]

    /// The default order.
    ///
    /// - Parameter listeners: The sidecar's own, which are no destinations.
    package init(listeners: ListenerConfig, identity: ServiceIdentity, resolver: any DestinationResolver) {
        let own = OwnListeners(listeners)
        self.inOrder = [
            DestinationStage(own: own.authorities, resolver: resolver, source: identity.name),
            LoadBalanceStage(own: own),
        ]
    }
}
