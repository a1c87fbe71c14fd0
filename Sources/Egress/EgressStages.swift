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
    /// - Parameter ownAddress: The outgoing listener's.
    package init(ownAddress: ListenAddress, identity: ServiceIdentity) {
        self.inOrder = [
            DestinationStage(ownAddress: ownAddress, source: identity.name),
            LoadBalanceStage(),
        ]
    }
}
