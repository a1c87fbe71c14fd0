// SPDX-License-Identifier: Apache-2.0

package import Common
package import NIOCore
package import TLS

/// One listener of traffic: where it is, whom it serves, and what its connections obey.
package struct ListenerSpec: Sendable {
    /// Where it listens; with port 0 the kernel chooses one.
    package let address: SocketAddress
    /// Chain, trust and limits of its connections, and their direction.
    package let plans: Snapshot<TrafficPlan>
    /// How many connections there may be, together with all others that are counted there.
    package let budget: ConnectionBudget
    /// What its clients must speak inside; `nil` for plain text.
    package let tls: TLSMaterial?
    /// Whether its clients may speak plain text all the same.
    package let allowsPlain: Bool
    /// Whether everything on it counts as gRPC.
    package let isGRPC: Bool
    /// Whether the sidecar does without it when its address is taken.
    package let isOptional: Bool

    /// A listener on `address`.
    package init(
        _ address: SocketAddress, plans: Snapshot<TrafficPlan>, budget: ConnectionBudget, tls: TLSMaterial? = nil,
        allowsPlain: Bool = false, isGRPC: Bool = false, isOptional: Bool = false
    ) {
        self.address = address
        self.plans = plans
        self.budget = budget
        self.tls = tls
        self.allowsPlain = allowsPlain
        self.isGRPC = isGRPC
        self.isOptional = isOptional
    }

    /// Whose requests it takes.
    package var direction: Direction { self.plans.current.direction }
}
