// SPDX-License-Identifier: Apache-2.0

/// Every key that there is, with what the reference says of it.
package enum ConfigCatalogue {
    /// In the order of the reference.
    package static let groups: [KeyGroup] = [
        Self.identity, Self.listeners, Self.registry, Self.chains, Self.transport, Self.configServer, Self.plugins,
        Self.general, Self.limits, Self.timeouts, Self.balancing, Self.breaking, Self.rateLimits, Self.faults,
        Self.routes, Self.mesh, Self.egress, Self.edge, Self.tls, Self.credentials, Self.logs, Self.tracing,
        Self.framework,
    ]

    /// All keys of all groups.
    package static let all: [KnownKey] = Self.groups.flatMap(\.keys)

    /// The files in which users write them, by their numbers.
    static let files: [String] = Self.groups.flatMap { group in group.keys.map { _ in group.file } }

    /// Finds them by their names.
    static let index = KeyIndex(Self.all.map(\.pattern))

    /// The key or family that `name`, in its canonical spelling, belongs to.
    package static func key(_ name: String) -> KnownKey? { Self.index.find(name).key.map { Self.all[$0] } }

    /// Whether a change of `name`, in its canonical spelling, waits for a restart.
    static func needsRestart(_ name: String) -> Bool {
        guard let known = Self.key(name) else { return false }
        return known.state == .active && known.reload == .restart
    }
}
