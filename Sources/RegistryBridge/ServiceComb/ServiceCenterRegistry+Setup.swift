// SPDX-License-Identifier: Apache-2.0

import Common

extension ServiceCenterRegistry {
    /// What does not change.
    package struct Setup: Sendable {
        /// The caller's application, whose services are found.
        package var app: String
        /// The caller's environment.
        package var environment: String
        /// Between two polls.
        package var interval: Duration
        /// Whether this sidecar is registered too.
        package var isRegistering: Bool
        /// Whether the registry is to push changes.
        package var isWatching: Bool
        /// Whether to know the service of every address.
        package var isIndexing: Bool
        /// Whether the last instances of a service are tried before they go.
        package var isProbing: Bool
        /// Whether the registry's own members are asked too.
        package var isFindingMembers: Bool

        /// A setup.
        package init(
            app: String, environment: String, interval: Duration, isRegistering: Bool = true, isWatching: Bool,
            isIndexing: Bool = false,
            isProbing: Bool = false, isFindingMembers: Bool = false
        ) {
            self.app = app
            self.environment = environment
            self.interval = interval
            self.isRegistering = isRegistering
            self.isWatching = isWatching
            self.isIndexing = isIndexing
            self.isProbing = isProbing
            self.isFindingMembers = isFindingMembers
        }

        /// The services of these names, as far as a service-center takes them.
        func demands(_ names: Set<String>) -> Set<ServiceDemand> {
            Set(names.filter { RegistryNames.isName($0) }.map { ServiceDemand(app: self.app, name: $0) })
        }
    }
}
