// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Finds the configuration files, puts the sources together and reads the typed configuration out of them.
package struct ConfigLoader: Sendable {
    /// What the command line says.
    package struct Arguments: Sendable {
        /// `--config`: the path of mesher.yaml.
        package var mesherFile: String?
        /// `--key=value` of any key.
        package var values: [(key: String, value: String)] = []

        /// Nothing.
        package init() {}
    }

    private let arguments: Arguments
    private let environment: [String: String]
    /// The directory of the executable, where files are looked for by default.
    private let home: String

    /// A loader.
    ///
    /// - Parameter executableDirectory: Where the binary is.
    package init(arguments: Arguments, environment: [String: String], executableDirectory: String) {
        self.arguments = arguments
        self.environment = environment
        self.home = executableDirectory
    }

    /// The configuration, or every mistake in it.
    package func load() throws(MesherError) -> MesherConfig {
        var problems: [ConfigProblem] = []
        let store = self.readSources(&problems)
        // What a missing or broken file would have said is not a mistake of its own.
        if problems.contains(where: { $0.severity == .error }) { throw .configuration(problems) }
        var reader = ConfigReader(store)
        let config = MesherConfig(&reader)
        problems += reader.problems
        let errors = problems.filter { $0.severity == .error }
        if !errors.isEmpty { throw .configuration(errors.sorted { $0.location < $1.location }) }
        return config
    }

    /// The configuration directory: `CHASSIS_CONF_DIR`, `$CHASSIS_HOME/conf`, or `conf` beside the executable.
    package var directory: String {
        if let directory = self.environment["CHASSIS_CONF_DIR"], !directory.isEmpty { return directory }
        if let home = self.environment["CHASSIS_HOME"], !home.isEmpty { return "\(home)/conf" }
        return "\(self.home)/conf"
    }

    /// The files in the order in which they are read; the first that has a key keeps it.
    package var files: [(path: String, isRequired: Bool)] {
        let directory = self.directory
        let optional = [
            "circuit_breaker", "load_balancing", "rate_limiting", "router", "tls", "auth", "monitoring", "tracing",
            "lager", "fault",
        ]
        return [("\(directory)/chassis.yaml", true), ("\(directory)/microservice.yaml", true)]
            + optional.map { ("\(directory)/\($0).yaml", false) } + [self.mesherFile]
    }

    private var mesherFile: (path: String, isRequired: Bool) {
        if let path = self.arguments.mesherFile { return (path, true) }
        let besideExecutable = "\(self.home)/conf/mesher.yaml"
        if FileManager.default.fileExists(atPath: besideExecutable) { return (besideExecutable, false) }
        return ("\(self.directory)/mesher.yaml", false)
    }

    private func readSources(_ problems: inout [ConfigProblem]) -> ConfigStore {
        var files = ConfigSource(.files)
        for (path, isRequired) in self.files {
            guard let text = Self.read(path) else {
                if isRequired { problems.append(self.missing(path)) }
                continue
            }
            do {
                files.add(
                    try ConfigTree(yaml: text, source: path)
                        .mapTexts { Placeholders.expand($0, environment: self.environment) })
            } catch {
                problems.append(error)
            }
        }
        var environment = ConfigSource(.environment)
        for (name, value) in self.environment {
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
        for (key, value) in self.arguments.values {
            commandLine.add(key, .text(value, ConfigLocation("command line")))
        }
        return ConfigStore([files, environment, commandLine, fallback])
    }

    private static func read(_ path: String) -> String? {
        FileManager.default.contents(atPath: path).map { String(decoding: $0, as: UTF8.self) }
    }

    private func missing(_ path: String) -> ConfigProblem {
        ConfigProblem(
            at: ConfigLocation(path), "the file does not exist",
            remedy: "create it, or set CHASSIS_CONF_DIR to the directory that has it (searched: \(self.directory))")
    }
}
