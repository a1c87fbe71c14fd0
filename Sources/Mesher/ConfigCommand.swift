// SPDX-License-Identifier: Apache-2.0

import AdminAPI
import ArgumentParser
import Common
import FoundationEssentials

/// `mesher config`: what holds, and where it is written.
struct ConfigCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "config", abstract: "Print the configuration that holds, and where each value comes from.",
        usage: "mesher config [<folder>] [<key> ...] [--all] [--json] [<options>] [--key=value ...]",
        discussion: """
            Reads what a start would read, and starts nothing. Each line is a key,
            its value, and the file, variable or option that it comes from. With
            keys, only those and what stands below them; any spelling is known. A
            folder is the configuration directory. Secrets are not shown.
            Exits with 1 when there is an error with which mesher would not start,
            and when there is no such key.

            Examples:
              mesher config
              mesher config /etc/mesher servicecomb.loadbalance
              mesher config mesher.timeouts --all
              mesher config --json | jq -r '.settings[] | select(.active | not).key'
            """)

    @OptionGroup var options: ConfigurationOptions

    @Flag(help: "Print the defaults of all other keys as well.")
    var all = false

    @Flag(help: "Print one JSON document.")
    var json = false

    func run() throws {
        var options = self.options
        let words = options.takeWords()
        let folders = words.filter(Self.isFolder)
        guard folders.count <= 1 else {
            throw ValidationError("there is one configuration directory; write one folder")
        }
        let result = Examination(try options.loader(in: folders.first)).result
        let body = try self.body(result, keys: words.filter { !Self.isFolder($0) })
        try self.print(body)
        let mistakes = result.problems.filter { $0.severity == .error }
        guard !mistakes.isEmpty else { return }
        let summary = mistakes.count == 1 ? "one error" : "\(mistakes.count) errors"
        throw Exit.because("\(summary): mesher would not start", after: mistakes.map(\.description))
    }

    /// What is asked for.
    private func body(_ result: ConfigLoader.Result, keys: [String]) throws -> ConfigBody {
        var body = ConfigBody(result, lastReloadSuccessful: !result.hasErrors)
        let prefixes = keys.map { ConfigAlias.canonical($0).key }
        func isAsked(_ key: String, _ prefix: String) -> Bool { key == prefix || key.hasPrefix("\(prefix).") }
        for (key, prefix) in zip(keys, prefixes) {
            guard !body.settings.contains(where: { isAsked($0.key, prefix) }), ConfigReference.rows(of: key).isEmpty
            else { continue }
            throw Exit.because(ReferenceCommand.unknown(key))
        }
        if !keys.isEmpty { body.settings.removeAll { setting in !prefixes.contains { isAsked(setting.key, $0) } } }
        if !self.all { body.settings.removeAll { $0.source == "default" } }
        return body
    }

    private func print(_ body: ConfigBody) throws {
        if self.json {
            try Console.print(json: body)
        } else if body.settings.isEmpty {
            Console.complain("nothing is set there; --all prints the defaults\n")
        } else {
            Swift.print(Self.table(body.settings))
        }
    }

    private static func table(_ settings: [ConfigBody.Setting]) -> String {
        let rows = settings.map { (Self.line($0.key), Self.line($0.value), Self.line($0.source), $0.active) }
        // A long one moves only its own line.
        let keyWidth = min(rows.map(\.0.count).max() ?? 0, 60)
        let valueWidth = min(rows.map(\.1.count).max() ?? 0, 32)
        return rows.map { key, value, source, isActive in
            let start = key.padded(to: keyWidth) + "  " + value.padded(to: valueWidth)
            return "\(start)  \(source)\(isActive ? "" : " (no effect)")"
        }.joined(separator: "\n")
    }

    /// Nothing of a value ends the line or drives the terminal.
    private static func line(_ text: String) -> String {
        var line: [UInt8] = []
        LineEscaper.appendText(text.rawSpan, to: &line)
        return String(decoding: line, as: UTF8.self)
    }

    private static func isFolder(_ word: String) -> Bool {
        word.contains("/") || FileManager.default.isFolder(word)
    }
}
