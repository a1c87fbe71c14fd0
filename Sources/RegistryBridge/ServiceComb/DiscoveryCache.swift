// SPDX-License-Identifier: Apache-2.0

import Common
import FoundationEssentials
package import Logging

/// The services last seen, on disk: with them a sidecar that starts while the registry is away serves at once.
///
/// One that cannot be read, or that another version or registry wrote, is as good as none; a directory that cannot be
/// written to is said once.
///
/// - Source: promise U7.
package struct DiscoveryCache: Sendable {
    private struct File: Codable {
        var format: Int
        var registry: String
        /// By application and name.
        var services: [String: [String: [InstanceEntity]]]
    }

    private static let format = 2

    private let file: StateFile
    private let registry: String
    private let logger: Logger

    /// Where it is.
    package var path: String { self.file.path }

    /// A cache in `directory`.
    ///
    /// - Parameter owner: Application, service and port: what tells the sidecars of a machine apart.
    /// - Parameter registry: Where the services come from; those of another registry do not count.
    package init(directory: String, owner: [String], registry: String, logger: Logger) {
        self.file = StateFile("services", of: owner, in: directory, type: "json")
        self.registry = registry
        self.logger = logger
    }

    /// What was saved; nothing when there is nothing good.
    func load() -> [ServiceDemand: [InstanceEntity]] {
        do {
            guard let data = try self.file.read() else { return [:] }
            guard let file = try? JSONDecoder().decode(File.self, from: data) else {
                throw StateFile.Failure(description: "it is not what was saved")
            }
            guard file.format == Self.format, file.registry == self.registry else { return [:] }
            return file.services.reduce(into: [:]) { services, app in
                for (name, instances) in app.value {
                    services[ServiceDemand(app: app.key, name: name)] = instances
                }
            }
        } catch {
            self.logger.warning(
                "saved services ignored, the file cannot be read",
                metadata: ["path": "\(self.path)", "error": "\(error)"])
            return [:]
        }
    }

    /// Saves `services`.
    func save(_ services: [ServiceDemand: [InstanceEntity]]) throws(StateFile.Failure) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let byApp = services.reduce(into: [String: [String: [InstanceEntity]]]()) { byApp, service in
            byApp[service.key.app, default: [:]][service.key.name] = service.value
        }
        let file = File(format: Self.format, registry: self.registry, services: byApp)
        guard let data = try? encoder.encode(file) else {
            throw StateFile.Failure(description: "a value has no form in JSON")
        }
        try self.file.write(data)
    }
}
