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
    private let told: Set<String>
    private let logger: Logger

    /// A registry in the file at `path`.
    ///
    /// - Parameter resolver: Looks up the names of endpoints.
    /// - Parameter told: What the log has said of the file already.
    package init(
        path: String, interval: Duration = .milliseconds(500), resolver: NameResolver = .shared,
        told: [ConfigProblem] = [], logger: Logger
    ) {
        self.told = Set(told.map(\.description))
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
        var services: [RegistryFile.ServiceEntry]?
        var told = self.told
        while !Task.isCancelled {
            switch watcher.look() {
            case .unchanged: break
            case .missing:
                self.logger.warning("registry file is missing", metadata: ["path": "\(self.path)"])
            case .changed(let bytes):
                guard let read = self.read(bytes, &told) else { break }
                names.use(Set(read.flatMap(\.names)))
                Self.publish(read, upon: services, names, directory)
                services = read
            }
            let hasNews = await !news.receiveAll(until: .now + self.interval).isEmpty
            if hasNews, let services { Self.publish(services, upon: services, names, directory) }
        }
    }

    /// The services of the file, unless something is wrong with it.
    ///
    /// - Parameter told: What the log has said of it, which is not said again.
    private func read(_ bytes: [UInt8], _ told: inout Set<String>) -> [RegistryFile.ServiceEntry]? {
        let file = RegistryFile(bytes, source: self.path)
        if let error = file.error {
            self.logger.warning("registry file ignored, the last good one stands", metadata: ["error": "\(error)"])
            return nil
        }
        self.logger.info("registry file read", metadata: ["services": "\(file.services.count)"])
        file.problems.filter { !told.contains($0.description) }.forEach(self.logger.report)
        told = Set(file.problems.map(\.description))
        return file.services
    }

    /// - Parameter old: What was published last, as far as that is known: only what is other than there is made anew.
    private static func publish(
        _ services: [RegistryFile.ServiceEntry], upon old: [RegistryFile.ServiceEntry]?, _ names: NameBook,
        _ directory: DirectoryPublisher
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
    private static func add(
        _ services: [RegistryFile.ServiceEntry], _ names: NameBook, to builder: inout ServiceDirectoryBuilder
    ) {
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

    /// Reads a registry file.
    ///
    /// - Parameter note: Told of what is worth a word although the file counts.
    /// - Throws: The first error, with its place.
    package static func read(
        _ bytes: [UInt8], source: String, note: (ConfigProblem) -> Void = { _ in }
    ) throws(ConfigProblem) -> [RegistryFile.ServiceEntry] {
        let file = RegistryFile(bytes, source: source)
        if let error = file.error { throw error }
        file.problems.forEach(note)
        return file.services
    }
}

extension RegistryFile.ServiceEntry {
    /// The names of hosts in its endpoints.
    fileprivate var names: [String] {
        self.instances.flatMap { $0.endpoints.filter { $0.address == nil }.map(\.host) }
    }

    /// Its instances; `nil` while a name of theirs is being looked up.
    fileprivate func instances(_ names: NameBook, _ builder: inout ServiceDirectoryBuilder) -> [Instance]? {
        var instances: [Instance] = []
        for entry in self.instances {
            guard case .known(let places) = builder.places(of: entry.endpoints, names) else { return nil }
            instances += places.map { entry.instance(at: $0) }
        }
        return instances
    }
}

extension RegistryFile.InstanceEntry {
    fileprivate func instance(at endpoints: [Endpoint]) -> Instance {
        Instance(
            id: endpoints.first?.description ?? "", version: self.version, app: self.app, status: self.status,
            properties: self.properties, endpoints: endpoints, region: self.region, zone: self.zone)
    }
}
