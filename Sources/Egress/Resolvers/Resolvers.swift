// SPDX-License-Identifier: Apache-2.0

/// The table of resolvers: what configuration may name, and how it is made.
package enum Resolvers {
    /// One line for each; `ResolverConfig.known` has the same names in the same order.
    package static let table: [(name: String, make: @Sendable () -> any DestinationResolver)] = [
        (HostResolver.name, { HostResolver() }),
        (AuthorityResolver.name, { AuthorityResolver() }),
        (IPResolver.name, { IPResolver() }),
    ]

    /// The resolver of this name.
    ///
    /// The configuration has been checked, so that there is one; without it, names are hosts.
    package static func make(_ name: String) -> any DestinationResolver {
        self.table.first { $0.name == name }?.make() ?? HostResolver()
    }
}
