// SPDX-License-Identifier: Apache-2.0

import Common

/// What a file of `mesher dev` says: services with their ports, and rules for all of them.
///
/// Every value keeps its place, so that whoever reads it later can name the line.
struct DevFile: Sendable {
    /// One process of a service on this machine, which has a sidecar of its own.
    struct Instance: Sendable {
        /// Which one: the service, and its place among the instances of that.
        struct ID: Sendable, Hashable {
            let service: String
            let number: Int
        }

        let id: ID
        /// Where the service is named.
        let location: ConfigLocation
        /// What the process listens on, as `mesher.servicePorts` has it; `nil` for a process that calls only.
        var ports: (list: ServicePorts, location: ConfigLocation)?
        var version: ConfigTree?
        /// The port of the sidecar for outgoing requests; `nil` for any that is free.
        var outgoing: (port: Int, location: ConfigLocation)?
        /// The path that tells whether the process is well.
        var health: ConfigTree?
        /// Further keys of its sidecar's configuration.
        var config: ConfigTree?

        /// What the sidecar's registry knows of it, as far as rules may ask for it.
        var known: ConfigLoader.Share.Instance {
            let start = "service_description.instance_properties."
            let properties = (self.config?.flattened() ?? []).compactMap { key, value in
                key.hasPrefix(start) ? value.text.map { (String(key.dropFirst(start.count)), $0) } : nil
            }
            return .init(
                service: self.id.service, version: self.version?.text ?? "0.0.1",
                properties: Dictionary(properties) { first, _ in first })
        }
    }

    /// In the order of the file.
    private(set) var instances: [Instance] = []
    /// The port of the registry; `nil` for one that is free.
    private(set) var registry: (port: Int, location: ConfigLocation)?
    /// The port of the page; `nil` for one that is free.
    private(set) var page: (port: Int, location: ConfigLocation)?
    /// Keys of every sidecar's configuration.
    private(set) var rules: ConfigTree?
    /// What is wrong with the file itself, in its order.
    private(set) var problems: [ConfigProblem] = []

    private static let keys = DevFileShape.file.names
    private static let instanceKeys = DevFileShape.instance.names
    private static let port = ConfigKind<Int>.integer(1...65_535)
    /// The ports that the file names, with whose they are.
    private(set) var taken: [Int: String] = [:]

    /// Reads the file, whatever is wrong with it.
    init(_ tree: ConfigTree) {
        guard case .map(let entries, _) = tree else {
            self.note(tree.location, "", "the file describes no services", "write services: {web: 8080}")
            return
        }
        for entry in entries {
            if case .null = entry.value, entry.key == "registry" || entry.key == "page" { continue }
            switch entry.key {
            case "services": self.readServices(entry.value)
            case "registry": self.registry = self.readPort("registry", entry.value, whose: "the registry")
            case "page": self.page = self.readPort("page", entry.value, whose: "the page")
            case "rules":
                if self.isMap("rules", entry.value) {
                    self.rules = entry.value
                    self.refuseOwnKeys(of: entry.value)
                }
            default:
                let near = Spelling.nearest(to: entry.key, among: Self.keys)
                let isRule = ConfigCatalogue.all.contains { $0.pattern.text.hasPrefix("\(entry.key).") }
                self.problems.append(
                    .unknown(
                        entry.key, .error, at: entry.location, near: isRule ? nil : near,
                        remedy: isRule ? "write it below rules" : "remove it"))
            }
        }
        if self.instances.isEmpty, self.problems.isEmpty {
            self.note(tree.location, "services", "there is no service", "write services: {web: 8080}")
        }
    }

    // MARK: Services

    private mutating func readServices(_ tree: ConfigTree) {
        guard self.isMap("services", tree), case .map(let entries, _) = tree else { return }
        defer { self.refuseSameLabels() }
        for entry in entries {
            guard case .list(let elements, _) = entry.value else {
                self.readInstance(entry.key, 0, entry.location, entry.value)
                continue
            }
            for (number, element) in elements.enumerated() {
                self.readInstance(entry.key, number, entry.location, element)
            }
        }
    }

    /// What a second instance is called may be the name of another service.
    private mutating func refuseSameLabels() {
        var labels: Set<String> = []
        for id in self.instances.map(\.id) where !labels.insert(id.label).inserted {
            let name = self.instances.first { $0.id.number == 0 && $0.id.label == id.label } ?? self.instances[0]
            self.note(
                name.location, "services.\(id.label)", "an instance of another service is called the same",
                "give it another name")
        }
    }

    private mutating func readInstance(
        _ service: String, _ number: Int, _ location: ConfigLocation, _ tree: ConfigTree
    ) {
        let (name, id) = ("services.\(service)", Instance.ID(service: service, number: number))
        var instance = Instance(id: id, location: location)
        switch tree {
        case .null: break
        case .text: instance.ports = self.readRESTPort(name, tree, whose: service)
        case .list: self.note(tree.location, name, "a list stands inside a list", "write {port: 8080}")
        case .map(let entries, _):
            for entry in entries { self.read(entry, of: name, into: &instance) }
            if tree["port"] != nil, let both = tree["ports"] {
                self.note(both.location, "\(name).ports", "stands beside port", "keep one of them")
            }
            if let health = instance.health, instance.ports?.list["rest"] == nil {
                self.note(health.location, "\(name).health", "there is no port to ask", "write port: 8080 as well")
                instance.health = nil
            }
        }
        self.instances.append(instance)
    }

    private mutating func read(_ entry: ConfigTree.Entry, of name: String, into instance: inout Instance) {
        let (key, service) = ("\(name).\(entry.key)", instance.id.service)
        if case .null = entry.value { return }
        switch entry.key {
        case "port": instance.ports = self.readRESTPort(key, entry.value, whose: service)
        case "ports": instance.ports = self.readPorts(key, entry.value, whose: service)
        case "version": instance.version = self.text(key, entry.value, "write one such as 1.0.0")
        case "outgoing": instance.outgoing = self.readPort(key, entry.value, whose: "the sidecar of \(service)")
        case "health":
            instance.health = self.text(key, entry.value, "write a path such as /health")
            if let path = instance.health?.text, !path.hasPrefix("/") {
                self.note(entry.value.location, key, "\"\(path)\" is no path", "write one such as /health")
                instance.health = nil
            }
        case "config":
            guard self.isMap(key, entry.value) else { return }
            instance.config = entry.value
            self.refuseOwnKeys(of: entry.value)
        default:
            let near = Spelling.nearest(to: entry.key, among: Self.instanceKeys)
            let isKey = ConfigCatalogue.all.contains { $0.pattern.text.hasPrefix("\(entry.key).") }
            self.problems.append(
                .unknown(
                    key, .error, at: entry.location, near: isKey ? nil : near,
                    remedy: isKey
                        ? "write it below config" : "write one of \(Self.instanceKeys.joined(separator: ", "))"
                ))
        }
    }

    // MARK: Values

    private mutating func note(_ location: ConfigLocation, _ key: String, _ problem: String, _ remedy: String) {
        self.problems.append(ConfigProblem(at: location, key: key, problem, remedy: remedy))
    }

    /// Whether a map, or nothing, stands there.
    private mutating func isMap(_ key: String, _ tree: ConfigTree) -> Bool {
        if tree.isMapOrEmpty { return true }
        self.note(tree.location, key, "this is no map of keys", "write key: value below \(key)")
        return false
    }

    private mutating func text(_ key: String, _ tree: ConfigTree, _ remedy: String) -> ConfigTree? {
        if tree.text != nil { return tree }
        self.note(tree.location, key, "more than one value stands here", remedy)
        return nil
    }

    private mutating func readPort(
        _ key: String, _ tree: ConfigTree, whose owner: String
    ) -> (port: Int, location: ConfigLocation)? {
        guard let text = self.text(key, tree, "write a port")?.text else { return nil }
        do throws(ConfigMistake) {
            let port = try Self.port.parse(text)
            self.take(port, for: owner, key, tree.location)
            return (port, tree.location)
        } catch {
            self.note(tree.location, key, "\"\(text)\" is no port", "write a number, 1 to 65535")
            return nil
        }
    }

    private mutating func readRESTPort(
        _ key: String, _ tree: ConfigTree, whose owner: String
    ) -> (list: ServicePorts, location: ConfigLocation)? {
        guard let (port, location) = self.readPort(key, tree, whose: owner) else { return nil }
        return (try? ServicePorts("rest:\(port)")).map { (list: $0, location: location) }
    }

    /// A map of protocols, or the text that `--service-ports` takes.
    private mutating func readPorts(
        _ key: String, _ tree: ConfigTree, whose owner: String
    ) -> (list: ServicePorts, location: ConfigLocation)? {
        var text = tree.text
        if case .map(let entries, _) = tree {
            text = entries.map { "\($0.key):\($0.value.text ?? "")" }.joined(separator: ",")
        }
        guard let text else {
            self.note(tree.location, key, "this is no map of ports", "write {rest: 8080, grpc: 9000}")
            return nil
        }
        do throws(ConfigMistake) {
            let list = try ServicePorts(text)
            for port in list.ports { self.take(Int(port.port), for: owner, key, tree.location) }
            return (list, tree.location)
        } catch {
            self.note(tree.location, key, error.problem, error.remedy)
            return nil
        }
    }

    /// Two listeners cannot have one port.
    private mutating func take(_ port: Int, for owner: String, _ key: String, _ location: ConfigLocation) {
        guard let other = self.taken.updateValue(owner, forKey: port) else { return }
        self.note(location, key, "port \(port) is that of \(other)", "write another one")
    }

    // MARK: Keys that are not for the file

    /// What the command sets by itself, with what to write instead.
    private static let own: [(start: String, remedy: String)] =
        [
            ("cse.protocols.", "write outgoing: 30110 for a service, and port for its own listener"),
            ("cse.service.registry.", "remove it: there is a registry for all of them"),
            ("service_description.name", "the key below services is the name"),
            ("service_description.version", "write version: 1.0.0 for the service"),
            ("mesher.servicePorts", "write port or ports for the service"),
            ("mesher.mode", "remove it: each service has a sidecar"), ("mesher.listenIP", "remove it"),
            ("mesher.stateDirectory", "remove it: nothing is kept"), ("admin.enable", "remove it"),
        ]
        + LogConfig.Keys.all.map { $0.name }.filter { !$0.hasPrefix("accessLog") }
        .map { (start: $0, remedy: "remove it: what happens is told on standard error") }

    private mutating func refuseOwnKeys(of tree: ConfigTree) {
        for (key, value) in tree.flattened() {
            let canonical = ConfigAlias.canonical(key).key
            guard
                let own = Self.own.first(where: {
                    $0.start.hasSuffix(".") ? canonical.hasPrefix($0.start) : canonical == $0.start
                })
            else { continue }
            self.note(value.location, key, "mesher dev sets this by itself", own.remedy)
        }
    }
}
