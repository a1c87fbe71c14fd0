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
    package init(identity: ServiceIdentity, servicePorts: ServicePorts) {
        self.inOrder = [LocalApplicationStage(identity: identity, servicePorts: servicePorts)]
    }
}
