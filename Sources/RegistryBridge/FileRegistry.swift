// SPDX-License-Identifier: Apache-2.0

package import Common
import Foundation
package import Logging

/// Services from a file, for laptops and tests: YAML, or JSON as the original wrote it.
///
/// The file is looked at twice a second; a broken one is reported once and the last good state stays. An instance is an
/// endpoint, or a map with `endpoints`, `version`, `app`, `properties` and `status`.
package struct FileRegistry: Registry {
    private let path: String
    private let interval: Duration
    private let logger: Logger

    /// A registry in the file at `path`.
    package init(path: String, interval: Duration = .milliseconds(500), logger: Logger) {
        self.path = path
        self.interval = interval
        self.logger = logger
    }

    package func follow(_ directory: DirectoryPublisher) async throws {
        var watcher = FileWatcher(self.path)
        while !Task.isCancelled {
            switch watcher.look() {
            case .unchanged: break
            case .missing:
                self.logger.warning("registry file is missing", metadata: ["path": "\(self.path)"])
            case .changed(let text): self.publish(text, directory)
            }
            try await Task.sleep(for: self.interval)
        }
    }

    private func publish(_ text: String, _ directory: DirectoryPublisher) {
        do throws(ConfigProblem) {
            let services = try Self.read(text, source: self.path)
            // Checked as a whole before anything of it is used.
            var trial = ServiceDirectoryBuilder(upon: directory.current, ownApp: "")
            for instance in services.flatMap(\.instances) { _ = try instance.make(&trial) }
            directory.publish { builder in Self.add(services, to: &builder) }
            self.logger.info("registry file read", metadata: ["services": "\(services.count)"])
        } catch {
            self.logger.warning("registry file ignored, the last good one stands", metadata: ["error": "\(error)"])
        }
    }

    private static func add(_ services: [ServiceEntry], to builder: inout ServiceDirectoryBuilder) {
        for service in services {
            builder.add(service.name, service.instances.compactMap { try? $0.make(&builder) })
        }
    }

    /// The directory that the file at `path` describes, for those who look once.
    ///
    /// - Throws: The first mistake, with its place.
    package static func directory(_ path: String, ownApp: String) throws(ConfigProblem) -> ServiceDirectory {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw ConfigProblem(
                at: ConfigLocation(path), "the registry file cannot be read",
                remedy: "correct cse.service.registry.address")
        }
        var builder = ServiceDirectoryBuilder(upon: .empty, ownApp: ownApp)
        Self.add(try Self.read(String(decoding: data, as: UTF8.self), source: path), to: &builder)
        return builder.build()
    }

    /// A service as the file describes it.
    package struct ServiceEntry: Sendable {
        /// Its name.
        package let name: String
        fileprivate let instances: [InstanceEntry]
    }

    fileprivate struct InstanceEntry: Sendable {
        let endpoints: [(text: String, location: ConfigLocation)]
        let version: String
        let app: String
        let properties: [String: String]
        let status: InstanceStatus
        var region = ""
        var zone = ""

        func make(_ builder: inout ServiceDirectoryBuilder) throws(ConfigProblem) -> Instance {
            var made: [Endpoint] = []
            for (text, location) in self.endpoints {
                do {
                    made.append(try builder.endpoint(text))
                } catch {
                    throw ConfigProblem(
                        at: location, key: "service[].instance", "\"\(text)\" is no endpoint (\(error))",
                        remedy: "write protocol://ip:port, such as rest://10.0.0.5:8080")
                }
            }
            return Instance(
                id: self.endpoints.first?.text ?? "", version: self.version, app: self.app, status: self.status,
                properties: self.properties, endpoints: made, region: self.region, zone: self.zone)
        }
    }

    /// Reads the text of a registry file.
    ///
    /// - Throws: The first mistake, with its place.
    package static func read(_ text: String, source: String) throws(ConfigProblem) -> [ServiceEntry] {
        let tree = try ConfigTree(yaml: text, source: source)
        guard case .list(let services, _)? = tree["service"] else {
            throw ConfigProblem(
                at: tree.location, key: "service", "the list of services is missing",
                remedy: "write service: [{name: cart, instance: [\"rest://10.0.0.5:8080\"]}]")
        }
        var entries: [ServiceEntry] = []
        for service in services {
            guard let name = service["name"]?.text, !name.isEmpty else {
                throw ConfigProblem(
                    at: service.location, key: "service[].name", "a service has no name", remedy: "write name: cart")
            }
            var instances: [InstanceEntry] = []
            if let list = service["instance"] {
                for instance in try Self.elements(list, "service[].instance") {
                    instances.append(try Self.instance(instance))
                }
            }
            entries.append(ServiceEntry(name: name, instances: instances))
        }
        return entries
    }

    private static func instance(_ tree: ConfigTree) throws(ConfigProblem) -> InstanceEntry {
        if let text = tree.text {
            return InstanceEntry(
                endpoints: [(text, tree.location)], version: "", app: "", properties: [:], status: .up)
        }
        guard let list = tree["endpoints"] else {
            throw ConfigProblem(
                at: tree.location, key: "service[].instance[].endpoints", "an instance has no endpoints",
                remedy: "write endpoints: [\"rest://10.0.0.5:8080\"]")
        }
        var endpoints: [(String, ConfigLocation)] = []
        for endpoint in try Self.elements(list, "service[].instance[].endpoints") {
            endpoints.append((endpoint.text ?? "", endpoint.location))
        }
        var properties: [String: String] = [:]
        for (key, value) in tree["properties"]?.flattened() ?? [] { properties[key] = value.text }
        return InstanceEntry(
            endpoints: endpoints, version: tree["version"]?.text ?? "", app: tree["app"]?.text ?? "",
            properties: properties, status: try Self.status(tree["status"]), region: tree["region"]?.text ?? "",
            zone: tree["zone"]?.text ?? "")
    }

    private static func status(_ tree: ConfigTree?) throws(ConfigProblem) -> InstanceStatus {
        guard let tree, let text = tree.text else { return .up }
        guard let status = InstanceStatus(rawValue: text) else {
            throw ConfigProblem(
                at: tree.location, key: "service[].instance[].status", "\"\(text)\" is no status",
                remedy: "write one of \(InstanceStatus.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        return status
    }

    private static func elements(_ tree: ConfigTree, _ key: String) throws(ConfigProblem) -> [ConfigTree] {
        guard case .list(let elements, _) = tree else {
            throw ConfigProblem(at: tree.location, key: key, "this is no list", remedy: "write a list: [ … ]")
        }
        return elements
    }
}
