// SPDX-License-Identifier: Apache-2.0

import Common

/// Keeps the directory of services up to date, from whatever registry is configured.
package actor RegistryComponent: Component {
    private let registry: any Registry
    private let directory: DirectoryPublisher

    /// A component that publishes what `registry` answers.
    package init(_ registry: any Registry, directory: DirectoryPublisher) {
        self.registry = registry
        self.directory = directory
    }

    package func run() async throws { try await self.registry.follow(self.directory) }
}
