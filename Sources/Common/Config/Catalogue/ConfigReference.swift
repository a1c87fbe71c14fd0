// SPDX-License-Identifier: Apache-2.0

/// The reference of all keys, made from their declarations.
package enum ConfigReference {
    /// One key, for programs.
    package struct Row: Sendable, Encodable {
        /// Its name or the pattern of its names.
        package let key: String
        /// Where users write it.
        package let file: String
        /// How values are written.
        package let type: String
        /// The default, as it would be written; empty when there is none.
        package let fallback: String
        /// `live` or `restart`.
        package let change: String
        /// `active`, `later` or `unused`.
        package let state: String
        /// What it means.
        package let meaning: String

        enum CodingKeys: String, CodingKey {
            case key, file, type, change, state, meaning
            case fallback = "default"
        }
    }

    /// All keys, in the order of the reference.
    package static var rows: [Row] { Self.rows { _ in true } }

    /// The keys that `name` is, or that stand below it; in any spelling.
    package static func rows(of name: String) -> [Row] {
        let canonical = ConfigAlias.canonical(name).key
        return Self.rows { $0.begins(with: canonical) }
    }

    private static func rows(where isWanted: (KeyPattern) -> Bool) -> [Row] {
        ConfigCatalogue.groups.flatMap { group in
            group.keys.filter { isWanted($0.pattern) }.map { key in
                Row(
                    key: key.pattern.text, file: group.file, type: key.typeName, fallback: key.fallbackText,
                    change: key.reload.rawValue, state: Self.name(key.state), meaning: key.help)
            }
        }
    }

    /// The page.
    package static var markdown: String {
        var page = """
            # Configuration reference

            Every key, made from the program itself by `mesher reference`. [Configuration](configuration.md) says where the
            files are, which source wins, and how values are written.

            A key is *live* when a change takes effect within a second without a restart. The unit of a number is in the
            name of its type or in its meaning. Parts in `<angle brackets>` stand for a name, parts in `[square brackets]`
            may be left out. Every `cse.` may be written `servicecomb.` as well.


            """
        for group in ConfigCatalogue.groups {
            let active = group.keys.filter { $0.state == .active }
            if active.isEmpty { continue }
            page += "## \(group.title)\n\nUsually in `\(group.file)`.\n\n"
            page += "| key | type | default | change | meaning |\n|---|---|---|---|---|\n"
            for key in active { page += Self.line(key) }
            page += "\n"
        }
        page += """
            ## Environment variables

            Besides these, every key can be set by a variable with `_` in place of each dot: `cse_protocols_http_listenAddress`.

            | variable | sets | wins over files | meaning |
            |---|---|---|---|

            """
        for variable in EnvironmentVariable.all {
            let keys = variable.keys.map { "`\($0)`" }.joined(separator: ", ")
            page +=
                "| `\(variable.name)` | \(keys) | \(variable.isOverride ? "yes" : "no") | \(Self.cell(variable.help)) |\n"
        }
        page += """

            ## Not active yet

            These keys are known and their values are checked, but they have no effect in this version. `mesher check` and
            the log of a start name each one that is set.

            | key | type | default | meaning |
            |---|---|---|---|

            """
        for key in ConfigCatalogue.all where key.state == .later {
            page += "| \(Self.code(key.pattern.text)) | \(Self.cell(key.typeName)) | \(Self.code(key.fallbackText)) "
            page += "| \(Self.cell(key.help)) |\n"
        }
        page += """

            ## Without effect

            Keys that users of the original may have in their files, and that do nothing here.

            | key | why |
            |---|---|

            """
        for key in ConfigCatalogue.all {
            if case .unused(let why) = key.state { page += "| \(Self.code(key.pattern.text)) | \(why) |\n" }
        }
        return page
    }

    private static func line(_ key: KnownKey) -> String {
        "| \(Self.code(key.pattern.text)) | \(Self.cell(key.typeName)) | \(Self.code(key.fallbackText)) "
            + "| \(key.reload.rawValue) | \(Self.cell(key.help)) |\n"
    }

    private static func code(_ text: String) -> String {
        text.isEmpty ? "" : "`\(text.replacing("|", with: "\\|"))`"
    }

    private static func cell(_ text: String) -> String { text.replacing("|", with: "\\|") }

    private static func name(_ state: KnownKey.State) -> String {
        switch state {
        case .active: "active"
        case .later: "later"
        case .unused: "unused"
        }
    }
}
