// SPDX-License-Identifier: Apache-2.0

package import Common

/// Where services are found: a file, a service-center, Istio.
///
/// An implementation knows one registry's ways. What is the same for all (publishing, readiness, restarts) is the
/// component's.
package protocol Registry: Sendable {
    /// Follows the registry until cancelled, and publishes every state that it answers with.
    ///
    /// A registry that does not answer, or answers nonsense, is state and not failure: what was published last stands.
    func follow(_ directory: DirectoryPublisher) async throws
}

/// The way from a registry to the event loops: builds each directory upon the last one, and publishes it when something
/// has changed.
package struct DirectoryPublisher: Sendable {
    private let snapshot: Snapshot<ServiceDirectory>
    private let ownApp: String
    private let onSync: @Sendable () -> Void

    /// A publisher for callers of the application `ownApp`.
    ///
    /// - Parameter onSync: Called after each publication, once the registry has answered.
    package init(
        _ snapshot: Snapshot<ServiceDirectory>, ownApp: String, onSync: @escaping @Sendable () -> Void = {}
    ) {
        self.snapshot = snapshot
        self.ownApp = ownApp
        self.onSync = onSync
    }

    /// What was published last.
    package var current: ServiceDirectory { self.snapshot.current }

    /// Publishes the services that `build` adds.
    package func publish(_ build: (inout ServiceDirectoryBuilder) -> Void) {
        var builder = ServiceDirectoryBuilder(upon: self.snapshot.current, ownApp: self.ownApp)
        build(&builder)
        let directory = builder.build()
        self.snapshot.publish(directory)
        if directory.isSynced { self.onSync() }
    }
}
