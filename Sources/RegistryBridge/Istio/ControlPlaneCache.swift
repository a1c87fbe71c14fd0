// SPDX-License-Identifier: Apache-2.0

package import Common
import FoundationEssentials
import IstioMessages
package import Logging
import SwiftProtobuf

/// The resources of the control plane that were taken last, on disk: with them a sidecar that starts while the control plane
/// is away serves.
///
/// The file is one response of the protocol with resources of all kinds, whose version says who wrote it. One that cannot be
/// read, or that is from another control plane, is as good as none; a directory that cannot be written to is said once.
package struct ControlPlaneCache: Sendable {
    /// Resources by name.
    typealias Resources = [ResourceKind: [String: ResourceUpdate.Resource]]

    private let file: StateFile
    private let origin: String
    private let logger: Logger

    /// Where it is.
    var path: String { self.file.path }

    /// A cache.
    ///
    /// - Parameter servers: The control plane, as configured; resources of another one do not count.
    /// - Parameter node: Whose resources they are: the control plane answers by that.
    package init(_ file: StateFile, servers: [ServerAddress], node: NodeIdentity, logger: Logger) {
        self.file = file
        self.origin = "mesher 1 \(node.namespace) \(servers.map(\.text).joined(separator: ","))"
        self.logger = logger
    }

    /// What was saved; nothing when there is nothing good.
    func load() -> Resources {
        do {
            guard let data = try self.file.read() else { return [:] }
            guard let saved = try? XDSDeltaDiscoveryResponse(serializedBytes: data) else {
                throw StateFile.Failure(description: "it is not what was saved")
            }
            guard saved.systemVersionInfo == self.origin else { return [:] }
            return saved.resources.reduce(into: [:]) { resources, saved in
                guard let kind = ResourceKind(typeURL: saved.resource.typeURL) else { return }
                resources[kind, default: [:]][saved.name] = ResourceUpdate.Resource(
                    name: saved.name, version: saved.version, typeURL: saved.resource.typeURL,
                    bytes: saved.resource.value)
            }
        } catch {
            self.logger.warning(
                "saved resources of the control plane ignored, the file cannot be read",
                metadata: ["path": "\(self.path)", "error": "\(error)"])
            return [:]
        }
    }

    /// Saves `resources`.
    func save(_ resources: Resources) throws(StateFile.Failure) {
        var saved = XDSDeltaDiscoveryResponse()
        saved.systemVersionInfo = self.origin
        saved.resources = resources.values.flatMap { named in
            named.map { name, resource in
                var one = XDSResource()
                one.name = name
                one.version = resource.version
                one.resource.typeURL = resource.typeURL
                one.resource.value = resource.bytes
                return one
            }
        }
        guard let data = try? saved.serializedData() else {
            throw StateFile.Failure(description: "its resources are too large")
        }
        try self.file.write(data)
    }
}
