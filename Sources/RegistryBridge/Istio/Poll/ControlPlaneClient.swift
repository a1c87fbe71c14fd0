// SPDX-License-Identifier: Apache-2.0

/// Who asks the control plane, in a way that it understands, and hands over what it says.
package protocol ControlPlaneClient: Sendable {
    /// Asks for these endpoints, or tables of routes, from now on, and for no others of the kind.
    func want(_ names: Set<String>, of kind: ResourceKind) async

    /// Follows the control plane until cancelled.
    func run() async
}

extension DiscoveryClient: ControlPlaneClient {}
