// SPDX-License-Identifier: Apache-2.0

package import Common
package import Proxy

/// The stages of incoming requests, in their order.
///
/// What the chain ends in, `transport`, is no stage: when all have proceeded, the driver sends the request.
package struct IngressStages {
    /// First to last.
    package let inOrder: [any Stage]

    /// The default order.
    ///
    /// - Parameter ownPorts: Ports of the sidecar's own listeners, which no caller may be sent to.
    package init(identity: ServiceIdentity, servicePorts: ServicePorts, ownPorts: [Int]) {
        self.inOrder = [
            LocalApplicationStage(identity: identity, servicePorts: servicePorts, ownPorts: ownPorts)
        ]
    }
}
