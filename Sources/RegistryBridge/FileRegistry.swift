// SPDX-License-Identifier: Apache-2.0

package import Common
import FoundationEssentials
package import Logging

/// Services from a file, for laptops and tests: YAML, or JSON as the original wrote it.
///
/// The file is looked at twice a second; a broken one is reported once and the last good state stays. An instance is an
/// endpoint, or a map with `endpoints`, `version`, `app`, `properties` and `status`. Endpoints by host name are looked up
/// and followed; what else is in the file waits for none of them.
package struct FileRegistry: Registry {
    private enum News: Sendable { case names }

    private let path: String
    private let interval: Duration
    private let resolver: NameResolver
    private let logger: Logger

    /// A registry in the file at `path`.
    ///
    /// - Parameter resolver: Looks up the names of endpoints.
    package init(
        path: String, interval: Duration = .milliseconds(500), resolver: NameResolver = .shared, logger: Logger
    ) {
        self.path = path
        self.interval = interval
        self.resolver = resolver
        self.logger = logger
    }

    package func follow(_ directory: DirectoryPublisher) async throws {
        let news = Mailbox<News>("registry names", capacity: 1, whenFull: .dropNewest)
        let names = NameBook(self.resolver) { _ in news.send(.names) }
        defer { names.use([]) }
        var watcher = FileWatcher(self.path)
        var services: [ServiceEntry]?
        while !Task.isCancelled {
            switch watcher.look() {
            case .unchanged: break
            case .missing:
                self.logger.warning("registry file is missing", metadata: ["path": "\(self.path)"])
            case .changed(let bytes):
                guard let read = self.read(bytes) else { break }
                names.use(Set(read.flatMap(\.names)))
                Self.publish(read, upon: services, names, directory)
                services = read
            }
            let hasNews = await !news.receiveAll(until: .now + self.interval).isEmpty
            if hasNews, let services { Self.publish(services, upon: services, names, directory) }
        }
    }

    private func read(_ bytes: [UInt8]) -> [ServiceEntry]? {
        do throws(ConfigProblem) {
            var repeated: [ConfigProblem] = []
            let services = try Self.read(bytes, source: self.path) { repeated.append($0) }
            self.logger.info("registry file read", metadata: ["services": "\(services.count)"])
            for problem in repeated {
                self.logger.warning("registry file: a service is listed twice", metadata: ["problem": "\(problem)"])
            }
            return services
        } catch {
            self.logger.warning("registry file ignored, the last good one stands", metadata: ["error": "\(error)"])
            return nil
        }
    }

    /// - Parameter old: What was published last, as far as that is known: only what is other than there is made anew.
    private static func publish(
        _ services: [ServiceEntry], upon old: [ServiceEntry]?, _ names: NameBook, _ directory: DirectoryPublisher
    ) {
        directory.publish { builder in
            guard let old else { return Self.add(services, names, to: &builder) }
            builder.keepsOthers = true
            var gone = Dictionary(old.map { ($0.name, $0) }) { first, _ in first }
            // Names may have other addresses than before.
            let changed = services.filter { gone.removeValue(forKey: $0.name) != $0 || !$0.names.isEmpty }
            for name in gone.keys { builder.remove(name) }
            Self.add(changed, names, to: &builder)
        }
    }

    /// Adds what is known; a service whose names are being looked up stays as it was, and is waited for when it is new.
    private static func add(_ services: [ServiceEntry], _ names: NameBook, to builder: inout ServiceDirectoryBuilder) {
        for service in services {
            if let instances = service.instances(names, &builder) {
                builder.add(service.name, instances)
            } else if !builder.keep(service.name) {
                builder.isComplete = false
            }
        }
    }

    /// The directory that the file at `path` describes, for those who look once.
    ///
    /// - Throws: The first mistake, with its place.
    package static func directory(_ path: String, ownApp: String) async throws(ConfigProblem) -> ServiceDirectory {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw ConfigProblem(
                at: ConfigLocation(path), "the registry file cannot be read",
                remedy: "correct its path: cse.service.registry.address, or mesher.registry.file")
        }
        let services = try Self.read(Array(data), source: path)
        let news = Mailbox<News>("registry names", capacity: 1, whenFull: .dropNewest)
        let names = NameBook { _ in news.send(.names) }
        names.use(Set(services.flatMap(\.names)))
        while names.isPending, !Task.isCancelled { _ = await news.receive() }
        var builder = ServiceDirectoryBuilder(upon: .empty, ownApp: ownApp)
        Self.add(services, names, to: &builder)
        return builder.build()
    }

    /// A service as the file describes it.
    package struct ServiceEntry: Sendable, Equatable {
        /// Its name.
        package let name: String
        fileprivate var entries: [InstanceEntry]

        /// The names of hosts in its endpoints.
        fileprivate var names: [String] {
            self.entries.flatMap { $0.endpoints.filter { $0.address == nil }.map(\.host) }
        }

        /// Its instances; `nil` while a name of theirs is being looked up.
        fileprivate func instances(_ names: NameBook, _ builder: inout ServiceDirectoryBuilder) -> [Instance]? {
            var instances: [Instance] = []
            for entry in self.entries {
                guard case .known(let places) = builder.places(of: entry.endpoints, names) else { return nil }
                instances += places.map { entry.instance(at: $0) }
            }
            return instances
        }
    }

    fileprivate struct InstanceEntry: Sendable, Equatable {
        let endpoints: [EndpointText]
        let version: String
        let app: String
        let properties: [String: String]
        let status: InstanceStatus
        var region = ""
        var zone = ""

        func instance(at endpoints: [Endpoint]) -> Instance {
            Instance(
                id: endpoints.first?.description ?? "", version: self.version, app: self.app, status: self.status,
                properties: self.properties, endpoints: endpoints, region: self.region, zone: self.zone)
        }
    }

    /// Reads a registry file.
    ///
    /// - Parameter note: Told of a name that is listed twice: its instances are taken together.
    /// - Throws: The first mistake, with its place.
    package static func read(
        _ bytes: [UInt8], source: String, note: (ConfigProblem) -> Void = { _ in }
    ) throws(ConfigProblem) -> [ServiceEntry] {
        let tree = try ConfigTree(yaml: bytes, source: source)
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
            if let index = entries.firstIndex(where: { $0.name == name }) {
                let remedy = "write all its instances in one place"
                note(
                    ConfigProblem(
                        .warning, at: service.location, key: "service[].name",
                        "\(name) is listed before: the instances of both places count", remedy: remedy))
                entries[index].entries += instances
            } else {
                entries.append(ServiceEntry(name: name, entries: instances))
            }
        }
        return entries
    }

    private static func instance(_ tree: ConfigTree) throws(ConfigProblem) -> InstanceEntry {
        if let text = tree.text {
            return InstanceEntry(
                endpoints: [try Self.endpoint(text, tree.location)], version: "", app: "", properties: [:], status: .up)
        }
        guard let list = tree["endpoints"] else {
            throw ConfigProblem(
                at: tree.location, key: "service[].instance[].endpoints", "an instance has no endpoints",
                remedy: "write endpoints: [\"rest://10.0.0.5:8080\"]")
        }
        var endpoints: [EndpointText] = []
        for endpoint in try Self.elements(list, "service[].instance[].endpoints") {
            endpoints.append(try Self.endpoint(endpoint.text ?? "", endpoint.location))
        }
        var properties: [String: String] = [:]
        for (key, value) in tree["properties"]?.flattened() ?? [] { properties[key] = value.text }
        return InstanceEntry(
            endpoints: endpoints, version: tree["version"]?.text ?? "", app: tree["app"]?.text ?? "",
            properties: properties, status: try Self.status(tree["status"]), region: tree["region"]?.text ?? "",
            zone: tree["zone"]?.text ?? "")
    }

    private static func endpoint(_ text: String, _ location: ConfigLocation) throws(ConfigProblem) -> EndpointText {
        do {
            return try EndpointText(text)
        } catch {
            throw ConfigProblem(
                at: location, key: "service[].instance", "\"\(text)\" is no endpoint (\(error))",
                remedy: "write protocol://host:port, such as rest://10.0.0.5:8080")
        }
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
