// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials

/// Which build this is.
package struct BuildInfo: Sendable, Equatable, Codable {
    /// The version of this source tree.
    package static let sourceVersion = "0.1.0"

    /// The released version.
    package var version: String
    /// The commit that it was built from; empty when unknown.
    package var commit: String
    /// When it was built, in ISO 8601; empty when unknown.
    package var built: String

    /// What the file `VERSION` beside the executable says; where it is missing, what was compiled in.
    ///
    /// - Source: the original's build file, YAML with the keys `version`, `commit` and `built`.
    package init(executableDirectory: String) {
        let path = "\(executableDirectory)/VERSION"
        let text = FileManager.default.contents(atPath: path).map { String(decoding: $0, as: UTF8.self) }
        let tree = text.flatMap { try? ConfigTree(yaml: $0, source: path) }
        self.version = tree?["version"]?.text ?? Self.sourceVersion
        self.commit = tree?["commit"]?.text ?? ""
        self.built = tree?["built"]?.text ?? ""
    }
}
