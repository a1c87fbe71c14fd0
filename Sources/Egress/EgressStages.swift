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
    /// - Parameter own: The sidecar's listeners.
    /// - Parameter resolver: Finds the service that a request names.
    /// - Parameter token: Marks requests that have left through here.
    package init(
        own: OwnListeners, identity: ServiceIdentity, resolver: any DestinationResolver, token: HopToken
    ) {
        self.inOrder = [
            DestinationStage(resolver, own: own, source: identity.name, token: token),
            LoadBalanceStage(own: own),
        ]
    }
}
