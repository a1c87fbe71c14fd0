// SPDX-License-Identifier: Apache-2.0

/// The services of a file registry that is the only source of services: what is not here is nowhere.
struct KnownServices {
    private let services: [String: [RegistryFile.InstanceEntry]]
    /// The file's name.
    private let file: String
    private let ownApp: String

    /// - Parameter file: The path of the registry file.
    /// - Parameter ownApp: The application whose instances a caller gets who names none.
    init(_ services: [RegistryFile.ServiceEntry], file: String, ownApp: String) {
        self.services = Dictionary(services.map { ($0.name, $0.instances) }) { first, _ in first }
        self.file = file.split(separator: "/").last.map(String.init) ?? file
        self.ownApp = ownApp
    }

    /// A tag that no instance has.
    struct Missing {
        /// The tag's name; empty where none is to blame.
        let tag: String
        let problem: String
        let remedy: String
    }

    /// Whether there is a service of this name.
    func contains(_ service: String) -> Bool { self.services[service] != nil }

    /// The name that somebody may have meant.
    func name(like text: String, besides others: [String]) -> String? {
        Spelling.nearest(to: text, among: self.services.keys.sorted() + others)
    }

    /// What to say of a name that no service has.
    ///
    /// - Parameter others: Names that would do as well.
    func absence(of service: String, besides others: [String] = []) -> (problem: String, remedy: String) {
        let names = self.services.keys.sorted()
        let problem = "\(self.file) has no service \(service)"
        if let near = self.name(like: service, besides: others) { return (problem, "did you mean \(near)?") }
        let some = names.prefix(3).joined(separator: ", ")
        return (problem, names.isEmpty ? "add it there" : "add it there, or write one of its services, such as \(some)")
    }

    /// Whether any instance says where it runs.
    var hasRegions: Bool { self.services.values.contains { $0.contains { !$0.region.isEmpty } } }

    /// Why no instance of a service has these tags; `nil` when one has, or when there are no instances at all.
    func missing(_ tags: InstanceTags, of service: String) -> Missing? {
        guard let instances = self.services[service], !instances.isEmpty else { return nil }
        let app = tags.app ?? self.ownApp
        let ofApp = instances.filter { $0.app.isEmpty || $0.app == app }
        guard !ofApp.isEmpty else {
            let apps = Set(instances.map(\.app)).sorted()
            let own = tags.app == nil ? ", the own one" : ""
            return Missing(
                tag: tags.app == nil ? "" : "app",
                problem: "no instance of \(service) is of the application \(app)\(own)",
                remedy: Self.remedy("app", app, apps))
        }
        let ofVersion = tags.version == "latest" ? ofApp : ofApp.filter { $0.version == tags.version }
        guard !ofVersion.isEmpty else {
            let versions = Set(ofApp.map(\.version)).filter { !$0.isEmpty }.sorted { Version($0) < Version($1) }
            guard !versions.isEmpty else {
                return Missing(
                    tag: "version", problem: "no instance of \(service) has a version",
                    remedy: "write version: \(tags.version) for one in \(self.file)")
            }
            return Missing(
                tag: "version", problem: "no instance of \(service) has the version \(tags.version)",
                remedy: Self.remedy("version", tags.version, versions))
        }
        for (name, value) in tags.properties.sorted(by: { $0.key < $1.key })
        where !ofVersion.contains(where: { $0.properties[name] == value }) {
            let values = Set(ofVersion.compactMap { $0.properties[name] }).sorted()
            let version = tags.version == "latest" ? "" : " with the version \(tags.version)"
            let problem = "no instance of \(service)\(version) has \(name): \(value)"
            guard values.isEmpty else {
                return Missing(tag: name, problem: problem, remedy: Self.remedy(name, value, values))
            }
            let names = Set(ofVersion.flatMap(\.properties.keys)).union(["version", "app"])
            let near = Spelling.nearest(to: name, among: names).map { "did you mean \($0)?" }
            return Missing(
                tag: name, problem: problem,
                remedy: near ?? "write it below properties of an instance in \(self.file)")
        }
        return nil
    }

    private static func remedy(_ tag: String, _ text: String, _ values: [String]) -> String {
        let near = tag == "version" ? Self.version(like: text, values) : nil
        if let near = near ?? Spelling.nearest(to: text, among: values) { return "did you mean \(tag): \(near)?" }
        return "write one that there is: \(values.prefix(5).joined(separator: ", "))"
    }

    /// `1.0` and `v1` for 1.0.0.
    private static func version(like text: String, _ versions: [String]) -> String? {
        let digits = String(text.drop { !$0.isNumber })
        guard !digits.isEmpty else { return nil }
        return versions.first { Version($0) == Version(digits) }
            ?? versions.first { $0.hasPrefix("\(digits).") }
            ?? versions.first { digits.hasPrefix("\($0).") }
    }
}
