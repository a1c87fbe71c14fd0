// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Common
import FoundationEssentials

/// What the command line says of the configuration, for all commands that read it.
struct ConfigurationOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Path of mesher.yaml.", valueName: "file"), completion: Completions.files)
    var config: String?

    @Option(
        help: ArgumentHelp("sidecar: of one service (the default); per-host: of a machine.", valueName: "mode"),
        completion: .list(Mode.allCases.map(\.rawValue)))
    var mode: String?

    @Option(
        name: .customLong("service-ports"),
        help: ArgumentHelp(
            "Ports of the local application: rest:8080,grpc:9000. Also SERVICE_PORTS.", valueName: "list"))
    var servicePorts: String?

    @Option(help: ArgumentHelp("Event loops that serve traffic; default: one for each usable CPU.", valueName: "count"))
    var workers: String?

    @Flag(help: "Take unknown keys for errors.")
    var strict = false

    @Argument(
        parsing: .allUnrecognized,
        help: ArgumentHelp("Any key of the configuration, as --key=value.", valueName: "--key=value"),
        completion: Completions.settings)
    var values: [String] = []

    /// What was written besides options and keys: takes it out.
    mutating func takeWords() -> [String] {
        defer { self.values.removeAll { !$0.hasPrefix("-") } }
        return self.values.filter { !$0.hasPrefix("-") }
    }

    /// A loader of what the files, the environment and these options say.
    ///
    /// - Parameter folder: The configuration directory, whatever the environment says; `nil`: what that says.
    func loader(in folder: String? = nil) throws -> ConfigLoader {
        var arguments = ConfigLoader.Arguments()
        arguments.mesherFile = self.config
        arguments.isStrict = self.strict
        let options = [
            ("mesher.mode", "--mode", self.mode), ("mesher.servicePorts", "--service-ports", self.servicePorts),
            ("mesher.workers", "--workers", self.workers),
        ]
        for case (let key, let option, let value?) in options { arguments.values.append((key, option, value)) }
        for text in self.values { arguments.values.append(try Self.value(text)) }
        var environment = ProcessInfo.processInfo.environment
        // Paths of messages have one slash behind it.
        if let folder {
            let isLong = folder.count > 1 && folder.hasSuffix("/")
            environment["CHASSIS_CONF_DIR"] = isLong ? String(folder.dropLast()) : folder
        }
        return ConfigLoader(
            arguments: arguments, environment: environment, executableDirectory: Executable.directory)
    }

    private static func value(_ text: String) throws -> (key: String, option: String, value: String) {
        guard text.hasPrefix("-"), let equals = text.firstIndex(of: "=") else {
            let commands = MesherCommand.configuration.subcommands.compactMap { $0.configuration.commandName }
            let words = text.hasPrefix("-") ? CommandLineText.longOptions.map { "--\($0)" } : commands
            let near = Spelling.nearest(to: text, among: words)
            let remedy = near.map { "did you mean \($0)?" } ?? "see mesher --help"
            throw ValidationError("\"\(text)\" is neither an option nor of the form --key=value; \(remedy)")
        }
        let option = text[..<equals]
        let key = option.drop { $0 == "-" }
        if let near = Spelling.nearest(to: String(key), among: CommandLineText.longOptions) {
            throw ValidationError("\"\(option)\" is no option; did you mean --\(near)?")
        }
        return (String(key), String(option), String(text[text.index(after: equals)...]))
    }
}

/// The command line as users of the original write it.
enum CommandLineText {
    /// The options that the commands know.
    static let longOptions = [
        "config", "mode", "service-ports", "workers", "strict", "help", "version", "json", "all", "kubernetes",
    ]

    /// The same with two dashes where an option was written with one, which the original took as well.
    static func normalized(_ arguments: [String]) -> [String] {
        if arguments.first == "injector" { return InjectorArguments.normalized(arguments) }
        return arguments.map { argument in
            let name = argument.dropFirst().prefix { $0 != "=" }
            return argument.hasPrefix("-") && Self.longOptions.contains(String(name)) ? "-\(argument)" : argument
        }
    }
}
