// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Common
import FoundationEssentials

/// `mesher reference`: the configuration reference of the documentation, made from the declarations of the keys.
struct ReferenceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reference", abstract: "Print the reference of all configuration keys (Markdown, or JSON).",
        discussion: """
            Examples:
              mesher reference > docs/configuration-reference.md
              mesher reference --json | jq -r '.[] | select(.change == "live").key'
            """)

    @Flag(help: "Print one JSON document.")
    var json = false

    func run() throws {
        guard self.json else {
            print(ConfigReference.markdown, terminator: "")
            return
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        print(String(decoding: try encoder.encode(ConfigReference.rows), as: UTF8.self))
    }
}
