// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Common
import Injector

/// `mesher check --kubernetes`: what is wrong with annotations in a manifest.
extension CheckCommand {
    /// - Parameter paths: Files, besides that of `--file`; without any, standard input.
    func checkManifests(_ paths: [String]) throws {
        let names: [String?] = (self.file.map { [$0] } ?? []) + paths
        let files = try (names.isEmpty ? [nil] : names).map { try ManifestFile($0) }
        let checks = files.map { ManifestCheck($0.bytes, source: $0.name) }
        var problems = checks.flatMap(\.problems)
        if self.options.strict { problems = problems.map(\.strict) }
        if self.json {
            try Console.print(json: CheckReport(files: files.map(\.name), problems: problems))
        } else {
            problems.forEach { print($0) }
            let pods = checks.reduce(0) { $0 + $1.pods }
            let documents = checks.reduce(0) { $0 + $1.documents }
            let place = "\(pods) pod\(pods == 1 ? "" : "s") of \(documents) document\(documents == 1 ? "" : "s")"
            print("\(Self.counts(problems)) in \(place) (\(files.map(\.name).joined(separator: ", ")))")
        }
        if problems.contains(where: { $0.severity == .error }) { throw ExitCode.failure }
    }
}
