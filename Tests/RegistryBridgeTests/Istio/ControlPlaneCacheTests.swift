// SPDX-License-Identifier: Apache-2.0

import Common
import FoundationEssentials
import Logging
@testable import RegistryBridge
import Testing

/// What the control plane said, kept for the next start.
final class ControlPlaneCacheTests {
    private let directory = FileManager.default.temporaryDirectory.appending(path: "cache-\(UUID())").path

    deinit { try? FileManager.default.removeItem(atPath: self.directory) }

    private func cache(_ server: String = "istiod:15010", namespace: String = "shop") throws -> ControlPlaneCache {
        ControlPlaneCache(
            StateFile("istio", of: ["default", "web", "30101"], in: self.directory, type: "pb"),
            servers: [try ServerAddress(discovery: "grpc://\(server)")],
            node: NodeIdentity(environment: ["POD_NAMESPACE": namespace], host: "web-0", address: nil),
            logger: Logger(label: "quiet") { _ in SwiftLogNoOpLogHandler() })
    }

    private let resources: ControlPlaneCache.Resources = [
        .cluster: [
            "a": .init(name: "a", version: "1", typeURL: ResourceKind.cluster.typeURL, bytes: Data([1, 2])),
            "b": .init(name: "b", version: "2", typeURL: ResourceKind.cluster.typeURL, bytes: Data([3])),
        ],
        .route: ["8080": .init(name: "8080", version: "7", typeURL: ResourceKind.route.typeURL, bytes: Data([4]))],
    ]

    @Test("comes back as it was, for the same sidecar of the same control plane only")
    func roundTrip() throws {
        #expect(try self.cache().load().isEmpty)
        try self.cache().save(self.resources)
        #expect(try self.cache().load() == self.resources)
        #expect(try self.cache("other:15010").load().isEmpty)
        #expect(try self.cache(namespace: "other").load().isEmpty)
        let attributes = try FileManager.default.attributesOfItem(atPath: try self.cache().path)
        #expect(attributes[.posixPermissions] as? Int == 0o600)
    }

    @Test("a file that is something else counts as none")
    func garbage() throws {
        try self.cache().save(self.resources)
        try Data([0xFF, 0xFF, 0xFF]).write(to: URL(fileURLWithPath: try self.cache().path))
        #expect(try self.cache().load().isEmpty)
    }

    @Test("a directory that cannot be written to is an error in the system's words")
    func nowhere() throws {
        let cache = ControlPlaneCache(
            StateFile("istio", of: ["web"], in: "/proc/nowhere", type: "pb"), servers: [],
            node: NodeIdentity(environment: [:], host: "web-0", address: nil),
            logger: Logger(label: "quiet") { _ in SwiftLogNoOpLogHandler() })
        let failure = try #require(throws: StateFile.Failure.self) { try cache.save(self.resources) }
        #expect(failure.description == "No such file or directory")
    }
}
