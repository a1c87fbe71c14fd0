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

/// The way from a registry to the mesh: builds each directory upon the last one, and hands it over when something has
/// changed.
package struct DirectoryPublisher: Sendable {
    private let source: MeshSource
    private let mesh: Snapshot<Mesh>
    private let ownApp: String

    /// A publisher for callers of the application `ownApp`.
    ///
    /// - Parameter mesh: What all sources have said; endpoints that others know are taken over.
    package init(_ source: MeshSource, sharing mesh: Snapshot<Mesh>, ownApp: String) {
        self.source = source
        self.mesh = mesh
        self.ownApp = ownApp
    }

    /// What was published last.
    package var current: ServiceDirectory { self.source.part }

    /// Publishes the services that `build` adds.
    ///
    /// - Parameter routes: What a control plane says of routes.
    package func publish(routes: ControlPlaneRoutes? = nil, _ build: (inout ServiceDirectoryBuilder) -> Void) {
        let others = self.mesh.current.services
        var builder = ServiceDirectoryBuilder(
            upon: self.source.part, ownApp: self.ownApp, sharing: others.parts.isEmpty ? nil : others)
        build(&builder)
        self.source.publish(builder.build(), routes: routes)
    }
}
