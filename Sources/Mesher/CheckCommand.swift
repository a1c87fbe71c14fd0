// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Common
import FoundationEssentials
import Proxy
import TLS

/// `mesher check`: what is wrong with the configuration, without starting anything.
struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Read the configuration and say everything that is wrong with it.",
        discussion: """
            Each line is file:line:column: key: what is wrong; what to write
            instead. Notes tell of keys that have no effect in this version.
            Exits with 1 when there is a mistake with which mesher would not start.

            Examples:
              mesher check
              CHASSIS_CONF_DIR=/etc/mesher mesher check --strict
              mesher check --json | jq '.problems[] | select(.severity == "error")'
            """)

    @OptionGroup var options: ConfigurationOptions

    @Flag(help: "Print one JSON document.")
    var json = false

    func run() throws {
        let loader = try self.options.loader()
        var result = loader.examine()
        result.problems += Self.tlsProblems(result.config)
        let files = loader.files.map(\.path).filter(FileManager.default.fileExists)
        if self.json {
            try self.print(CheckReport(result, files: files))
        } else {
            result.problems.forEach { Swift.print($0) }
            Swift.print(Self.summary(result, files: files.count, in: loader.directory))
        }
        if result.hasErrors { throw ExitCode.failure }
    }

    /// What is wrong with the files of TLS, which only the TLS library can tell.
    private static func tlsProblems(_ config: MesherConfig) -> [ConfigProblem] {
        do throws(MesherError) {
            let contexts = try TLSContexts(config.tls)
            return contexts.problems + contexts.expiring(within: .seconds(30 * 24 * 3600))
        } catch {
            guard case .configuration(let problems) = error else { return [] }
            return problems
        }
    }

    private func print(_ report: CheckReport) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        Swift.print(String(decoding: try encoder.encode(report), as: UTF8.self))
    }

    private static func summary(_ result: ConfigLoader.Result, files: Int, in directory: String) -> String {
        func count(_ severity: ConfigProblem.Severity, _ one: String) -> String? {
            let count = result.problems.count { $0.severity == severity }
            return count == 0 ? nil : "\(count) \(one)\(count == 1 ? "" : "s")"
        }
        let found = [count(.error, "mistake"), count(.warning, "warning"), count(.note, "note")].compactMap(\.self)
        let words = found.isEmpty ? "no mistakes" : found.joined(separator: ", ")
        return "\(words) in \(files) file\(files == 1 ? "" : "s") (\(directory))"
    }
}

/// The document of `mesher check --json`.
private struct CheckReport: Encodable {
    struct Problem: Encodable {
        let severity: String
        let file: String
        let line: Int?
        let column: Int?
        let key: String?
        let problem: String
        let remedy: String?
    }

    /// Whether everything is in order.
    let valid: Bool
    let files: [String]
    /// What others would be told of this instance.
    let endpoints: [String]
    let problems: [Problem]

    init(_ result: ConfigLoader.Result, files: [String]) {
        self.valid = !result.hasErrors
        self.files = files
        self.endpoints = result.config.listeners.advertised.map(\.description)
        self.problems = result.problems.map { problem in
            let location = problem.location
            return Problem(
                severity: problem.severity.rawValue, file: location.source,
                line: location.line > 0 ? location.line : nil, column: location.line > 0 ? location.column : nil,
                key: problem.key.isEmpty ? nil : problem.key, problem: problem.problem,
                remedy: problem.remedy.isEmpty ? nil : problem.remedy)
        }
    }
}
