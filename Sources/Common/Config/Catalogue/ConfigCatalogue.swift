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

    /// The key or family that `name`, in its canonical spelling, belongs to.
    package static func key(_ name: String) -> KnownKey? { Self.all.first { $0.pattern.matches(name) } }

    /// The keys whose change needs a restart, by name.
    package static let restartKeys: [String] = Self.all.filter { $0.state == .active && $0.reload == .restart }
        .map(\.pattern.text)
}
