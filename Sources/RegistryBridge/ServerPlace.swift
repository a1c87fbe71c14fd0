// SPDX-License-Identifier: Apache-2.0

import Common

/// Where a server of the control plane is asked: what is configured, and the address that it stands for.
struct ServerPlace: Sendable, Hashable, CustomStringConvertible {
    /// As configured: `scheme://host:port`, perhaps with a path.
    let url: String
    /// The name of its host; `nil` when that is an address.
    let name: String?
    /// What the name stands for; `nil` when nobody knows, or when there is no name.
    let address: String?

    /// Whether there is an address to connect to.
    var isKnown: Bool { self.name == nil || self.address != nil }

    /// For messages.
    var description: String { self.address.map { "\(self.url) (\($0))" } ?? self.url }
}
