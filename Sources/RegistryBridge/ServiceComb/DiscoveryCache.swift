// SPDX-License-Identifier: Apache-2.0

import Common
import FoundationEssentials
import Glibc
package import Logging

/// The services last seen, on disk: with them a sidecar that starts while the registry is away serves at once.
///
/// The file is written as a whole or not at all. One that cannot be read, or that another version or registry wrote, is
/// as good as none; a directory that cannot be written to is said once.
///
/// - Source: promise U7.
package struct DiscoveryCache: Sendable {
    private struct File: Codable {
        var format: Int
        var registry: String
        /// By application and name.
        var services: [String: [String: [InstanceEntity]]]
    }

    /// Why nothing was saved, in words.
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    private static let format = 2
    /// Larger files are nobody's services.
    private static let sizeLimit = 64 << 20

    /// Where it is.
    package let path: String
    private let registry: String
    private let logger: Logger

    /// A cache in `directory`.
    ///
    /// - Parameter owner: Application, service and port: what tells the sidecars of a machine apart.
    /// - Parameter registry: Where the services come from; those of another registry do not count.
    package init(directory: String, owner: [String], registry: String, logger: Logger) {
        let parts = owner.map { $0.percentEncoded { $0.isUnreserved && $0 != UInt8(ascii: "~") } }
        self.path = "\(directory)/services-\(parts.joined(separator: "-")).json"
        self.registry = registry
        self.logger = logger
    }

    /// What was saved; nothing when there is nothing good.
    func load() -> [ServiceDemand: [InstanceEntity]] {
        guard let attributes = try? FileManager.default.attributesOfItem(atPath: self.path) else { return [:] }
        do {
            guard (attributes[.size] as? Int ?? 0) <= Self.sizeLimit else { throw CocoaError(.fileReadTooLarge) }
            let data = try Data(contentsOf: URL(fileURLWithPath: self.path))
            let file = try JSONDecoder().decode(File.self, from: data)
            guard file.format == Self.format, file.registry == self.registry else { return [:] }
            return file.services.reduce(into: [:]) { services, app in
                for (name, instances) in app.value {
                    services[ServiceDemand(app: app.key, name: name)] = instances
                }
            }
        } catch {
            self.logger.warning(
                "saved services ignored, the file cannot be read",
                metadata: ["path": "\(self.path)", "error": "\(Self.words(error))"])
            return [:]
        }
    }

    /// Saves `services`.
    func save(_ services: [ServiceDemand: [InstanceEntity]]) throws(Failure) {
        do {
            try self.write(services)
        } catch {
            throw Failure(description: Self.words(error))
        }
    }

    /// What went wrong, in the system's words where it has some: Foundation's are for programmers.
    private static func words(_ error: any Error) -> String {
        if error is DecodingError { return "it is not what was saved" }
        guard let system = (error as? CocoaError)?.underlying as? POSIXError else { return "\(error)" }
        return unsafe String(cString: strerror(system.code.rawValue))
    }

    private func write(_ services: [ServiceDemand: [InstanceEntity]]) throws {
        let url = URL(fileURLWithPath: self.path)
        let files = FileManager.default
        try files.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let byApp = services.reduce(into: [String: [String: [InstanceEntity]]]()) { byApp, service in
            byApp[service.key.app, default: [:]][service.key.name] = service.value
        }
        let file = File(format: Self.format, registry: self.registry, services: byApp)
        try encoder.encode(file).write(to: url, options: .atomic)
        // What instances say of themselves is nobody else's business on this machine.
        try files.setAttributes([.posixPermissions: 0o600], ofItemAtPath: self.path)
    }
}
