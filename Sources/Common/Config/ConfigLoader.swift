// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials

/// Finds the configuration files, puts the sources together and reads the typed configuration out of them.
package struct ConfigLoader: Sendable {
    /// What the command line says.
    package struct Arguments: Sendable {
        /// `--config`: the path of mesher.yaml.
        package var mesherFile: String?
        /// `--key=value` of any key, and the options that stand for keys.
        package var values: [(key: String, option: String, value: String)] = []
        /// `--strict`: whether an unknown key is an error.
        package var isStrict = false

        /// Nothing.
        package init() {}
    }

    /// What was read.
    package struct Result: Sendable {
        /// The configuration; where there was a mistake, with the default instead.
        package let config: MesherConfig
        /// What it was read from.
        package let store: ConfigStore
        /// Everything that is wrong or worth a word, in the order of its places.
        package var problems: [ConfigProblem]
        /// The values of a configuration server that are mistakes and were put aside.
        package var refused: [ConfigProblem] = []

        /// Whether a sidecar cannot start with it.
        package var hasErrors: Bool { self.problems.contains { $0.severity == .error } }
    }

    private let arguments: Arguments
    private let environment: [String: String]
    /// The directory of the executable, where files are looked for by default.
    private let home: String
    /// What is read in place of a configuration directory; `nil` for that.
    let share: Share?

    /// A loader.
    ///
    /// - Parameter executableDirectory: Where the binary is.
    package init(arguments: Arguments, environment: [String: String], executableDirectory: String) {
        self.arguments = arguments
        self.environment = environment
        self.home = executableDirectory
        self.share = nil
    }

    /// A loader of one sidecar's share of a file.
    ///
    /// - Parameter environment: What placeholders stand for; nothing else of it counts.
    /// - Parameter isStrict: Whether an unknown key is an error.
    package init(_ share: Share, environment: [String: String], isStrict: Bool = false) {
        self.share = share
        self.home = share.directory
        self.environment = environment.merging(["CHASSIS_CONF_DIR": share.directory]) { $1 }
        var arguments = Arguments()
        arguments.isStrict = isStrict
        self.arguments = arguments
    }

    /// Reads everything, whatever is wrong with it.
    package func examine() -> Result {
        var problems: [ConfigProblem] = []
        let store = self.readSources(&problems)
        return self.read(store, problems)
    }

    /// Reads what `store` says.
    ///
    /// - Parameter problems: What was wrong with the sources.
    func read(_ store: ConfigStore, _ found: [ConfigProblem]) -> Result {
        var problems = found
        // What a missing or broken file would have said is not a mistake of its own.
        var reader = ConfigReader(store, isPartial: problems.contains { $0.severity == .error })
        let config = MesherConfig(&reader)
        problems = Self.joined(problems, reader.problems) + ConfigReview.problems(of: store)
        if !reader.isPartial { problems += TLSTagReview.problems(config, store) }
        // What errors make of a value is nothing to judge by.
        if !problems.contains(where: { $0.severity == .error }) { problems += self.effects(of: config, store) }
        return Result(config: config, store: store, problems: self.judged(problems))
    }

    /// What was wrong with the sources and with values: of a value that a placeholder has spoiled, only the cause.
    private static func joined(_ sources: [ConfigProblem], _ values: [ConfigProblem]) -> [ConfigProblem] {
        let refused = Set(values.filter { $0.severity == .error }.map(\.location))
        let causes = sources.filter {
            $0.severity == .warning && refused.contains($0.location) && $0.problem.contains("${")
        }
        guard !causes.isEmpty else { return sources + values }
        let places = Set(causes.map(\.location))
        let errors = causes.map { ConfigProblem(at: $0.location, key: $0.key, $0.problem, remedy: $0.remedy) }
        return sources.filter { !causes.contains($0) } + errors + values.filter { !places.contains($0.location) }
    }

    /// What was found, in the order of its places, with the severity that `--strict` asks for.
    package func judged(_ problems: [ConfigProblem]) -> [ConfigProblem] {
        (self.arguments.isStrict ? problems.map(\.strict) : problems).sorted { $0.location < $1.location }
    }

    /// The configuration directory: `CHASSIS_CONF_DIR`, `$CHASSIS_HOME/conf`, or `conf` beside the executable.
    package var directory: String { self.chosenDirectory ?? "\(self.home)/conf" }

    /// The files in the order in which they are read; the first that has a key keeps it.
    package var files: [(path: String, isRequired: Bool)] {
        if let share { return [(share.file, true)] }
        let optional = [
            "circuit_breaker", "load_balancing", "rate_limiting", "router", "tls", "auth", "monitoring", "tracing",
            "lager", "fault", "mesh",
        ]
        return [("\(self.directory)/chassis.yaml", !self.hasValue(of: Self.registryVariables)), self.microserviceFile]
            + optional.map { ("\(self.directory)/\($0).yaml", false) }
            + [self.mesherFile, (self.existing("egress.yaml"), false)]
    }

    private var chosenDirectory: String? {
        if let directory = self.environment["CHASSIS_CONF_DIR"], !directory.isEmpty { return directory }
        if let home = self.environment["CHASSIS_HOME"], !home.isEmpty {
            return home.hasSuffix("/") ? "\(home)conf" : "\(home)/conf"
        }
        return nil
    }

    /// Any of them says where services are, and may stand in for a chassis.yaml: a pod has none when nobody has made its
    /// ConfigMap.
    private static let registryVariables = [
        "CSE_REGISTRY_ADDR", "PAAS_CSE_SC_ENDPOINT", "PAAS_CSE_ENDPOINT", "cse_service_registry_serviceDiscovery_type",
    ]

    /// Whether one of these variables is set.
    private func hasValue(of variables: [String]) -> Bool {
        variables.contains { !(self.environment[$0] ?? "").isEmpty }
    }

    /// The flat file or, as old set-ups have it, the one in the only folder that has one.
    ///
    /// Environment variables may stand in for it, as in the original's container.
    private var microserviceFile: (path: String, isRequired: Bool) {
        let flat = "\(self.directory)/microservice.yaml"
        let hasName = self.hasValue(of: ["SERVICE_NAME", "CAS_COMPONENT_NAME"])
        let manager = FileManager.default
        if manager.fileExists(atPath: flat) { return (flat, !hasName) }
        let folders = (try? manager.contentsOfDirectory(atPath: self.directory)) ?? []
        let nested = folders.map { "\(self.directory)/\($0)/microservice.yaml" }.filter(manager.fileExists)
        return (nested.count == 1 ? nested[0] : flat, !hasName)
    }

    private var mesherFile: (path: String, isRequired: Bool) {
        if let path = self.arguments.mesherFile { return (path, true) }
        return (self.existing("mesher.yaml"), false)
    }

    /// A file of the configuration directory or, when it is not there, beside the executable.
    private func existing(_ name: String) -> String {
        let inDirectory = "\(self.directory)/\(name)"
        let besideExecutable = "\(self.home)/conf/\(name)"
        let manager = FileManager.default
        return !manager.fileExists(atPath: inDirectory) && manager.fileExists(atPath: besideExecutable)
            ? besideExecutable : inDirectory
    }

    func readSources(_ problems: inout [ConfigProblem]) -> ConfigStore {
        if let share { return self.readShare(share, &problems) }
        var files = ConfigSource(.files)
        for (path, isRequired) in self.files {
            guard let bytes = FileManager.default.contents(atPath: path) else {
                // A file that is there and cannot be read, for want of rights or of descriptors, is not one less.
                if isRequired || FileManager.default.fileExists(atPath: path) { problems.append(self.missing(path)) }
                continue
            }
            do {
                let tree = try ConfigTree(yaml: Array(bytes), source: path)
                guard tree.isMapOrEmpty else {
                    problems.append(
                        ConfigProblem(at: tree.location, "this is no map of keys", remedy: "write key: value"))
                    continue
                }
                problems += self.placeholderProblems(in: tree, "")
                files.add(tree.mapTexts { self.expand($0) })
            } catch {
                problems.append(error)
            }
        }
        problems += self.unreadFiles + EnvironmentVariable.problems(in: self.environment)
        var environment = ConfigSource(.environment)
        // In order, or it would be chance which of two spellings of a key counts.
        for (name, value) in self.environment.sorted(by: { $0.key < $1.key }) {
            let tree = ConfigTree.text(value, ConfigLocation("environment variable \(name)"))
            environment.add(name, tree)
            if name.contains("_") { environment.add(String(name.map { $0 == "_" ? "." : $0 }), tree) }
        }
        for (key, value) in EnvironmentVariable.values(of: self.environment, overrides: true) {
            environment.add(key, value)
        }
        var fallback = ConfigSource(.fallback)
        for (key, value) in EnvironmentVariable.values(of: self.environment, overrides: false) {
            fallback.add(key, value)
        }
        var commandLine = ConfigSource(.commandLine)
        for (key, option, value) in self.arguments.values {
            commandLine.add(key, .text(value, ConfigLocation("command line \(option)")))
        }
        return ConfigStore([files, environment, commandLine, fallback])
    }

    func expand(_ text: String) -> String { Placeholders.expand(text, environment: self.environment) }

    func placeholderProblems(in tree: ConfigTree, _ key: String) -> [ConfigProblem] {
        switch tree {
        case .text(let text, let location):
            return Placeholders.mistakes(in: text, environment: self.environment).map {
                ConfigProblem(.warning, at: location, key: key, $0.problem, remedy: $0.remedy)
            }
        case .list(let list, _): return list.flatMap { self.placeholderProblems(in: $0, key) }
        case .map(let entries, _):
            return entries.flatMap {
                self.placeholderProblems(in: $0.value, key.isEmpty ? $0.key : "\(key).\($0.key)")
            }
        case .null: return []
        }
    }

    /// Files that look like one of ours and have another name.
    private var unreadFiles: [ConfigProblem] {
        let read = self.files.map(\.path)
        // One of them may be that of the samples beside the binary.
        let known = read.compactMap { $0.split(separator: "/").last }.map { String($0.dropLast(".yaml".count)) }
        let present = ((try? FileManager.default.contentsOfDirectory(atPath: self.directory)) ?? []).sorted()
        return present.compactMap { file -> ConfigProblem? in
            guard let end = [".yaml", ".yml"].first(where: { file.hasSuffix($0) }),
                !read.contains("\(self.directory)/\(file)")
            else { return nil }
            let name = String(file.dropLast(end.count)).replacing("-", with: "_")
            let near = known.filter { Spelling.slips(from: name, to: $0).map { $0 <= 2 } ?? false }
            guard let meant = near.first(where: { $0 == name }) ?? Spelling.nearest(to: name, among: near) else {
                return nil
            }
            let isThere = present.contains("\(meant).yaml")
            return ConfigProblem.unread(
                "\(self.directory)/\(file)",
                remedy: isThere ? "\(meant).yaml is read instead; remove one of them" : "did you mean \(meant).yaml?")
        }
    }

    private func missing(_ path: String) -> ConfigProblem {
        guard !FileManager.default.fileExists(atPath: path) else {
            return ConfigProblem(
                at: ConfigLocation(path), "the file cannot be read",
                remedy: "let the user that mesher runs as read it")
        }
        if path == self.arguments.mesherFile {
            return ConfigProblem(
                at: ConfigLocation(path), "the file does not exist",
                remedy: "correct --config, or leave it out: mesher.yaml is then taken from \(self.directory)")
        }
        let place =
            self.environment["CHASSIS_CONF_DIR"] != nil
            ? "CHASSIS_CONF_DIR" : self.environment["CHASSIS_HOME"] != nil ? "CHASSIS_HOME" : "conf beside the binary"
        return ConfigProblem(
            at: ConfigLocation(path), "the file does not exist",
            remedy:
                "create it, or set CHASSIS_CONF_DIR to the directory that has it (searched: \(self.directory), which \(place) says)"
        )
    }
}
