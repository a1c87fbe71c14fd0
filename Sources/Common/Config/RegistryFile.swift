// SPDX-License-Identifier: Apache-2.0

/// What the file of a file registry says: services and their instances.
///
/// With one error in it nothing of the file counts, so that a typo takes no instance away.
package struct RegistryFile: Sendable {
    /// A service.
    package struct ServiceEntry: Sendable, Equatable {
        /// As callers name it.
        package let name: String
        /// In the order of the file; a name with several addresses is one of them.
        package fileprivate(set) var instances: [InstanceEntry]

        /// A service.
        package init(name: String, instances: [InstanceEntry]) {
            self.name = name
            self.instances = instances
        }
    }

    /// An instance.
    package struct InstanceEntry: Sendable, Equatable {
        /// Where it listens.
        package let endpoints: [EndpointText]
        /// Empty for none.
        package let version: String
        /// Empty where it belongs to every application.
        package let app: String
        /// By name.
        package let properties: [String: String]
        /// What it says of itself.
        package let status: InstanceStatus
        /// Empty where nothing is written.
        package let region: String
        /// Empty where nothing is written.
        package let zone: String
    }

    /// In the order of the file.
    package private(set) var services: [ServiceEntry] = []
    /// What is wrong or worth a word, in the order of the file.
    package private(set) var problems: [ConfigProblem] = []

    /// Reads YAML, of which JSON is a part.
    ///
    /// - Parameter source: The path of the file, for messages.
    package init(_ bytes: [UInt8], source: String) {
        do throws(ConfigProblem) {
            try self.read(try ConfigTree(yaml: bytes, source: source))
        } catch {
            self.problems.append(error)
        }
    }

    /// Why nothing of the file counts; `nil` when it does.
    package var error: ConfigProblem? { self.problems.first { $0.severity == .error } }

    private mutating func read(_ tree: ConfigTree) throws(ConfigProblem) {
        guard case .list(let services, _)? = tree["service"] else {
            throw ConfigProblem(
                at: tree.location, key: "service", "the list of services is missing",
                remedy: "write service: [{name: cart, instance: [\"rest://10.0.0.5:8080\"]}]")
        }
        self.allow(RegistryFileShape.file.names, in: tree, "")
        var places: [String: Int] = [:]
        for service in services {
            guard let name = service["name"]?.text, !name.isEmpty else {
                self.refuse(service, "service[].name", "a service has no name", "write name: cart")
                continue
            }
            self.allow(RegistryFileShape.service.names, in: service, "service[].")
            if name.contains("_") {
                self.problems.append(.underscore(name, service["name"] ?? service, "service[].name"))
            }
            let instances = self.instances(of: name, service)
            guard let index = places[name] else {
                places[name] = self.services.count
                self.services.append(ServiceEntry(name: name, instances: instances))
                continue
            }
            self.warn(
                service, "service[].name", "\(name) is listed before: the instances of both places count",
                "write all its instances in one place")
            self.services[index].instances += instances
        }
        self.reviewVersions(services)
    }

    private mutating func instances(of name: String, _ service: ConfigTree) -> [InstanceEntry] {
        guard let list = service["instance"] else {
            let isMisspelt = service.entries.contains { Spelling.nearest(to: $0.key, among: ["instance"]) != nil }
            if !isMisspelt {
                self.warn(
                    service, "service[].instance", "\(name) has no instances: its requests are answered 502",
                    "write instance: [\"rest://10.0.0.5:8080\"]")
            }
            return []
        }
        var seen: Set<Role> = []
        var instances: [InstanceEntry] = []
        for element in self.elements(list, "service[].instance") {
            guard let instance = self.instance(element) else { continue }
            instances.append(instance)
            for endpoint in instance.endpoints
            where !seen.insert(Role(endpoint: endpoint, instance)).inserted {
                self.warn(
                    element, "service[].instance",
                    "\(endpoint.written) stands here twice: it gets the requests of two instances", "write it once")
            }
        }
        return instances
    }

    /// What an address stands for: it may be several versions, of which callers choose one.
    private struct Role: Hashable {
        let endpoint: EndpointText
        let version: String
        let app: String
        let properties: [String: String]

        init(endpoint: EndpointText, _ instance: InstanceEntry) {
            self.endpoint = endpoint
            self.version = instance.version
            self.app = instance.app
            self.properties = instance.properties
        }
    }

    private mutating func instance(_ tree: ConfigTree) -> InstanceEntry? {
        if tree.text != nil {
            guard let endpoint = self.endpoint(tree) else { return nil }
            self.reviewProtocols([endpoint], tree)
            return InstanceEntry(
                endpoints: [endpoint], version: "", app: "", properties: [:], status: .up, region: "", zone: "")
        }
        let key = "service[].instance[]"
        self.allow(RegistryFileShape.instance.names, in: tree, "\(key).")
        guard let list = tree["endpoints"] else {
            self.refuse(
                tree, "\(key).endpoints", "an instance has no endpoints",
                "write endpoints: [\"rest://10.0.0.5:8080\"]")
            return nil
        }
        let endpoints = self.elements(list, "\(key).endpoints").compactMap { self.endpoint($0) }
        self.reviewProtocols(endpoints, list)
        var properties: [String: String] = [:]
        for (name, value) in tree["properties"]?.flattened() ?? [] { properties[name] = value.text }
        return InstanceEntry(
            endpoints: endpoints, version: tree["version"]?.text ?? "", app: tree["app"]?.text ?? "",
            properties: properties, status: self.status(tree["status"]), region: tree["region"]?.text ?? "",
            zone: tree["zone"]?.text ?? "")
    }

    // MARK: Values

    /// What people write in the place of `rest` and `grpc`, in lower case.
    private static let misnomers = [
        "http": "rest", "https": "rest", "http1": "rest", "tcp": "rest", "rest": "rest", "http2": "grpc", "h2": "grpc",
        "h2c": "grpc", "grpcs": "grpc", "grpc": "grpc",
    ]

    private mutating func endpoint(_ tree: ConfigTree) -> EndpointText? {
        let text = tree.text ?? ""
        let endpoint: EndpointText
        do throws(Endpoint.Mistake) {
            endpoint = try EndpointText(text)
        } catch {
            self.refuse(
                tree, "service[].instance", "\"\(text)\" is no endpoint (\(error))",
                "write protocol://host:port, such as rest://10.0.0.5:8080")
            return nil
        }
        let name = endpoint.protocolName
        let scheme = Self.misnomers[name.lowercased()] ?? Spelling.nearest(to: name, among: ["rest", "grpc"])
        if let scheme, scheme != name {
            let query = name.lowercased() == "https" || name.lowercased() == "grpcs" ? "?sslEnabled=true" : ""
            self.refuse(
                tree, "service[].instance", "\"\(text)\" gets no requests: \(name) is no protocol of endpoints",
                "write \(scheme)://\(endpoint.host.asHost):\(endpoint.port)\(query)")
            return nil
        }
        self.reviewParameters(of: text, tree)
        return endpoint
    }

    /// What stands behind the question mark of an endpoint: whoever asks for TLS must not get plain text.
    private mutating func reviewParameters(of text: String, _ tree: ConfigTree) {
        guard let mark = text.firstIndex(of: "?") else { return }
        for parameter in text[text.index(after: mark)...].split(separator: "&") {
            let equals = parameter.firstIndex(of: "=") ?? parameter.endIndex
            let (name, value) = (String(parameter[..<equals]), parameter[equals...].dropFirst())
            if name == "sslEnabled" {
                guard value != "true", value != "false" else { continue }
                self.refuse(
                    tree, "service[].instance", "\"\(value)\" says nothing of TLS",
                    "write sslEnabled=true, or leave it out")
            } else if Self.asksForTLS(name) {
                self.refuse(
                    tree, "service[].instance", "unknown parameter \(name)", "did you mean sslEnabled=true?")
            } else {
                self.warn(tree, "service[].instance", "unknown parameter \(name)", "remove it")
            }
        }
    }

    private static func asksForTLS(_ name: String) -> Bool {
        let lower = name.lowercased()
        return lower.hasPrefix("ssl") || lower.hasPrefix("tls")
            || Spelling.nearest(to: name, among: ["sslEnabled"]) != nil
    }

    private mutating func reviewProtocols(_ endpoints: [EndpointText], _ tree: ConfigTree) {
        let names = endpoints.map(\.protocolName)
        if !names.isEmpty, !names.contains(where: { $0 == "rest" || $0 == "grpc" }) {
            self.warn(
                tree, "service[].instance", "no request comes to an instance that speaks only \(names[0])",
                "add an endpoint such as rest://10.0.0.5:8080")
        }
        for name in ["rest", "grpc"] where names.count(where: { $0 == name }) > 1 {
            self.warn(
                tree, "service[].instance", "only the first \(name) endpoint of an instance gets requests",
                "write an instance for each")
        }
    }

    private mutating func status(_ tree: ConfigTree?) -> InstanceStatus {
        guard let tree, let text = tree.text else { return .up }
        if let status = InstanceStatus(rawValue: text) { return status }
        let names = InstanceStatus.allCases.map(\.rawValue)
        let near = Spelling.nearest(to: text, among: names).map { "did you mean \($0)?" }
        self.refuse(
            tree, "service[].instance[].status", "\"\(text)\" is no status",
            near ?? "write one of \(names.joined(separator: ", "))")
        return .up
    }

    /// Versions that are no numbers count only where there is another one to compare them with.
    private mutating func reviewVersions(_ services: [ConfigTree]) {
        for service in services {
            guard case .list(let instances, _)? = service["instance"] else { continue }
            let versions = instances.compactMap { $0["version"] }
            guard Set(versions.compactMap(\.text)).count > 1 else { continue }
            var told: Set<String> = []
            for version in versions {
                guard let text = version.text, !Self.isNumeric(text), told.insert(text).inserted else { continue }
                let digits = text.drop { !$0.isNumber }
                self.warn(
                    version, "service[].instance[].version",
                    "\"\(text)\" is no version of numbers: any number counts as newer",
                    Self.isNumeric(String(digits)) ? "write \(digits)" : "write one such as 1.2.0")
            }
        }
    }

    private static func isNumeric(_ version: String) -> Bool {
        let parts = version.split(separator: ".", omittingEmptySubsequences: false)
        return parts.allSatisfy { UInt64($0) != nil }
    }

    private mutating func elements(_ tree: ConfigTree, _ key: String) -> [ConfigTree] {
        if case .list(let elements, _) = tree { return elements }
        self.refuse(tree, key, "this is no list", "write a list: [ … ]")
        return []
    }

    // MARK: Words

    /// A key that is nearly a known one would take its meaning away; any other one says nothing.
    private mutating func allow(_ known: [String], in tree: ConfigTree, _ prefix: String) {
        for entry in tree.entries where !known.contains(entry.key) {
            let missing = known.filter { tree[$0] == nil }
            guard let near = Spelling.nearest(to: entry.key, among: missing) else {
                self.problems.append(.unknown("\(prefix)\(entry.key)", at: entry.location, near: nil))
                continue
            }
            self.problems.append(
                ConfigProblem(
                    at: entry.location, key: "\(prefix)\(entry.key)", "unknown key", remedy: "did you mean \(near)?"))
        }
    }

    private mutating func refuse(_ tree: ConfigTree, _ key: String, _ problem: String, _ remedy: String) {
        self.problems.append(ConfigProblem(at: tree.location, key: key, problem, remedy: remedy))
    }

    private mutating func warn(_ tree: ConfigTree, _ key: String, _ problem: String, _ remedy: String) {
        self.problems.append(ConfigProblem(.warning, at: tree.location, key: key, problem, remedy: remedy))
    }
}

extension EndpointText {
    /// As files write it.
    fileprivate var written: String { self.text(at: self.host) }
}

extension ConfigProblem {
    /// A name that clients of some languages refuse in URLs.
    ///
    /// - Source: `java.net.URI`, which has no host then; RFC 952 knows no underscores.
    static func underscore(_ name: String, _ tree: ConfigTree, _ key: String) -> ConfigProblem {
        ConfigProblem(
            .note, at: tree.location, key: key, "Java clients refuse \(name) as a host: it has an underscore",
            remedy: "write - in place of _")
    }
}
