// SPDX-License-Identifier: Apache-2.0

import Common

/// The resolvers by name.
package enum DestinationResolvers {
    /// All of them; one's own is added here, and to ``ResolverConfig/known`` so that configuration may name it.
    package static let all: [any DestinationResolver.Type] = [
        HostResolver.self, AuthorityResolver.self, AddressResolver.self,
    ]

    /// The resolver of a name that configuration has accepted; `host` for any other.
    package static func make(_ name: String) -> any DestinationResolver {
        (Self.all.first { $0.name == name } ?? HostResolver.self).init()
    }
}
