// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Common
import FoundationEssentials

/// `mesher check`: what is wrong with the configuration, without starting anything.
struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Read the configuration and say everything that is wrong with it.",
        usage: """
            mesher check [<options>] [--key=value …] [<folder> | <file> …]
            mesher check --kubernetes [-f <file>] [<file> …]
            """,
        discussion: """
            Each line is file:line:column: key: what is wrong; what to write
            instead. A folder is read as a configuration directory; of a file, its
            folder is read and what stands in the file is told; a file of mesher dev
            is read alone. Without either, the directory is that of a start. With --kubernetes, files are manifests, of
            which the annotations of pods are read that concern sidecars.

            Exits with 0 when nothing is wrong or worth a warning only, with 1 when
            there is an error with which mesher would not start, and with 64 when
            the command line is wrong.

            Examples:
              mesher check
              mesher check --strict /etc/mesher
              mesher check conf/router.yaml
              mesher check --json | jq '.problems[] | select(.severity == "error")'
              kubectl get deployment -o yaml | mesher check --kubernetes -f -
            """)

    @OptionGroup var options: ConfigurationOptions

    @Flag(help: "Print one JSON document.")
    var json = false

    @Flag(help: "Read manifests of Kubernetes, and not the configuration.")
    var kubernetes = false

    @Option(
        name: [.customShort("f"), .customLong("file")],
        help: ArgumentHelp("With --kubernetes: a manifest; - for standard input.", valueName: "file"),
        completion: Completions.manifests)
    var file: String?

    func run() throws {
        var options = self.options
        let paths = options.takeWords()
        if self.kubernetes { return try self.checkManifests(paths) }
        if let file = self.file { throw ValidationError("-f \(file) belongs to --kubernetes; write the file alone") }
        let checks = try paths.isEmpty ? [Check(options.loader())] : paths.map { try Self.check($0, options) }
        if self.json {
            try Console.print(json: CheckReport(checks))
        } else {
            checks.flatMap(\.problems).forEach { print($0) }
            print(Self.summary(checks))
        }
        if checks.contains(where: \.hasErrors) { throw ExitCode.failure }
    }

    /// The check of a folder, or of one of its files.
    private static func check(_ path: String, _ options: ConfigurationOptions) throws -> Check {
        guard FileManager.default.fileExists(atPath: path) else {
            throw ValidationError("\(path) does not exist; write a folder, or a file in one")
        }
        if FileManager.default.isFolder(path) { return Check(try options.loader(in: path)) }
        let folder = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
        let file = path.contains("/") ? path : "./\(path)"
        let loader = try options.loader(in: folder.isEmpty ? "/" : folder)
        if let check = Check(loader, file: file) { return check }
        if DevExamination.isDevFile(path) { return Check(DevExamination(path, isStrict: options.strict), of: path) }
        let names = loader.files.compactMap { $0.path.split(separator: "/").last }.joined(separator: ", ")
        throw ValidationError(
            "\(path) is none of the files that mesher reads: \(names), the registry file, and files of mesher dev")
    }

    private static func summary(_ checks: [Check]) -> String {
        let files = checks.reduce(0) { $0 + $1.files.count }
        let places = checks.map(\.place).joined(separator: ", ")
        return "\(Self.counts(checks.flatMap(\.problems))) in \(files) file\(files == 1 ? "" : "s") (\(places))"
    }

    /// How many there are of each severity.
    static func counts(_ problems: [ConfigProblem]) -> String {
        func count(_ severity: ConfigProblem.Severity, _ one: String) -> String? {
            let count = problems.count { $0.severity == severity }
            return count == 0 ? nil : "\(count) \(one)\(count == 1 ? "" : "s")"
        }
        let found = [count(.error, "error"), count(.warning, "warning"), count(.note, "note")].compactMap(\.self)
        return found.isEmpty ? "no errors" : found.joined(separator: ", ")
    }
}

/// What was found in a configuration directory, in one file of it, or in a file of `mesher dev`.
private struct Check {
    /// What was asked for.
    let place: String
    let files: [String]
    /// What others would be told.
    let endpoints: [String]
    let problems: [ConfigProblem]

    init(_ loader: ConfigLoader) {
        let result = Examination(loader).result
        self.place = loader.directory
        self.files = loader.files.map(\.path).filter(FileManager.default.fileExists)
        self.endpoints = result.config.listeners.advertised.map(\.description)
        self.problems = result.problems
    }

    /// `nil` when a start does not read the file.
    init?(_ loader: ConfigLoader, file: String) {
        let result = Examination(loader).result
        let registry = result.config.registry
        let isRegistry = registry.uses(.file) && registry.path(in: loader.directory) == file
        guard isRegistry || loader.files.contains(where: { $0.path == file }) else { return nil }
        self.place = file
        self.files = [file]
        self.endpoints = result.config.listeners.advertised.map(\.description)
        self.problems = result.problems.filter { $0.location.source == file }
    }

    init(_ examination: DevExamination, of file: String) {
        self.place = file
        self.files = [file]
        self.endpoints = []
        self.problems = examination.problems
    }

    var hasErrors: Bool { self.problems.contains { $0.severity == .error } }
}

/// The document of `mesher check --json`.
struct CheckReport: Encodable {
    struct Problem: Encodable {
        let severity: String
        let file: String
        let line: Int?
        let column: Int?
        let key: String?
        let problem: String
        let remedy: String?
        /// Both, as the lines have them.
        let message: String
    }

    /// Whether everything is in order.
    let valid: Bool
    let files: [String]
    /// What others would be told of this instance.
    let endpoints: [String]
    let problems: [Problem]

    fileprivate init(_ checks: [Check]) {
        self.init(
            files: checks.flatMap(\.files), problems: checks.flatMap(\.problems),
            endpoints: checks.flatMap(\.endpoints))
    }

    init(files: [String], problems: [ConfigProblem], endpoints: [String] = []) {
        self.valid = !problems.contains { $0.severity == .error }
        self.files = files
        self.endpoints = endpoints
        self.problems = problems.map { problem in
            let location = problem.location
            return Problem(
                severity: problem.severity.rawValue, file: location.source,
                line: location.line > 0 ? location.line : nil, column: location.line > 0 ? location.column : nil,
                key: problem.key.isEmpty ? nil : problem.key, problem: problem.problem,
                remedy: problem.remedy.isEmpty ? nil : problem.remedy,
                message: problem.remedy.isEmpty ? problem.problem : "\(problem.problem); \(problem.remedy)")
        }
    }
}
