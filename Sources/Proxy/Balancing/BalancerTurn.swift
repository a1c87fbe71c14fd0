// SPDX-License-Identifier: Apache-2.0
// request path

import Common

/// What balancing among the endpoints of a cluster goes on from when these, or what governs them, are others.
package struct BalancerTurn {
    /// Whose turn it is.
    var next: RoundRobin
    /// Who answers fastest, where that is asked.
    var speeds: WeightedResponse?
    /// Whose turn it is by weight, and among whom.
    var shares: (turn: EndpointShares.Turn, members: [Endpoint])?

    /// A turn that begins.
    init(_ next: RoundRobin) { self.next = next }
}
