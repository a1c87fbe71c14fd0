// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Common
import FoundationEssentials

/// `mesher reference`: what the declarations of the keys say, for people, programs and editors.
struct ReferenceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reference", abstract: "Print the reference of all configuration keys (Markdown, or JSON).",
        discussion: """
            With a key, only what is said of it and of the keys below it. With
            --schema, the JSON Schema of a file, by which editors check and complete
            it.

            Examples:
              mesher reference mesher.timeouts.connect
              mesher reference --json | jq -r '.[] | select(.change == "live").key'
              mesher reference --schema mesh.yaml > mesh.json
              mesher reference --schema --output /etc/mesher/schema
            """)

    @Argument(
        help: ArgumentHelp("A key, or what keys begin with; with --schema a file.", valueName: "key"),
        completion: Completions.references)
    var name: String?

    @Flag(help: "Print the JSON Schema of a file: of chassis.yaml, which may have every key, where none is named.")
    var schema = false

    @Option(
        help: ArgumentHelp("With --schema: write those of all files there.", valueName: "folder"),
        completion: .directory)
    var output: String?

    @Flag(help: "Print one JSON document.")
    var json = false

    func validate() throws {
        guard let output = self.output else { return }
        guard self.schema, self.name == nil else {
            throw ValidationError("--output \(output) belongs to --schema, and is for all files")
        }
    }

    func run() throws {
        if let output = self.output { return try Self.writeSchemas(output) }
        if self.schema { return try Self.printSchema(self.name ?? "chassis.yaml") }
        guard let name = self.name else {
            return self.json
                ? try Console.print(json: ConfigReference.rows) : print(ConfigReference.markdown, terminator: "")
        }
        let rows = ConfigReference.rows(of: name)
        guard !rows.isEmpty else { throw Exit.because(Self.unknown(name)) }
        if self.json { return try Console.print(json: rows) }
        print(rows.map(Self.text).joined(separator: "\n\n"))
    }

    private func print(_ text: String, terminator: String = "\n") { Swift.print(text, terminator: terminator) }

    private static func text(_ row: ConfigReference.Row) -> String {
        guard row.state != "unused" else { return "\(row.key)\n  without effect: \(row.meaning)" }
        let fallback = row.fallback.isEmpty ? "" : "; default \(row.fallback)"
        let change = row.state == "later" ? "not active yet" : row.change == "live" ? "live" : "at the next start"
        return "\(row.key)\n  \(row.meaning)\n  \(row.type)\(fallback); \(change); usually in \(row.file)"
    }

    /// Says that nothing is called so, and what is called nearly so.
    static func unknown(_ name: String) -> String {
        let names = ConfigCatalogue.all.lazy.map(\.pattern).filter(\.isOneKey).map(\.text)
        let near = Spelling.nearest(to: name, among: names).map { "; did you mean \($0)?" } ?? ""
        return "no key is called \(name)\(near)"
    }

    // MARK: Schemas

    private static func printSchema(_ file: String) throws {
        let file = file.hasSuffix(".yaml") ? file : "\(file).yaml"
        guard let document = ConfigSchema.document(of: file) else {
            throw Exit.because("there is no schema of \(file), only of \(ConfigSchema.files.joined(separator: ", "))")
        }
        Console.write(String(decoding: document, as: UTF8.self))
    }

    private static func writeSchemas(_ folder: String) throws {
        do {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            for file in ConfigSchema.files {
                guard let document = ConfigSchema.document(of: file) else { continue }
                try Data(document).write(to: URL(fileURLWithPath: "\(folder)/\(ConfigSchema.name(of: file))"))
            }
        } catch {
            throw Exit.because("the schemas cannot be written: \(error)")
        }
    }
}
