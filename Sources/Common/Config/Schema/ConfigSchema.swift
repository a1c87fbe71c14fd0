// SPDX-License-Identifier: Apache-2.0

/// JSON Schemas of the files of configuration, for editors; made from the declarations of the keys.
///
/// A key that nobody knows is an error only where it is one for the program.
package struct ConfigSchema {
    /// The file that may have every key; the schemas of others know their own.
    ///
    /// Any key may stand in any file; but whoever edits `lager.yaml` wants to be offered what belongs there.
    private static let general = "chassis.yaml"
    private static let registryFile = "services.yaml"
    private static let devFile = "dev.yaml"

    /// The files that have a schema, by name.
    package static let files: [String] = Set(ConfigCatalogue.groups.map(\.file) + [Self.registryFile, Self.devFile])
        .sorted()

    /// What the schema of a file is called.
    package static func name(of file: String) -> String { file.replacing(".yaml", with: ".json") }

    /// The schema of a file as JSON; `nil` for one that has none.
    package static func document(of file: String) -> [UInt8]? {
        guard Self.files.contains(file) else { return nil }
        if file == Self.registryFile {
            let writer = SchemaWriter(hasPlaceholders: false)
            let root = writer.members(.map(RegistryFileShape.file), isNullable: false)
            return OrderedJSON.object(Self.head(file) + root).bytes + [.lineFeed]
        }
        if file == Self.devFile { return ConfigSchema(ConfigCatalogue.all).devBytes(file) }
        let groups = ConfigCatalogue.groups.filter { $0.file == file || file == Self.general }
        return ConfigSchema(groups.flatMap(\.keys)).bytes(file)
    }

    private static func head(_ file: String) -> SchemaWriter.Members {
        [
            ("$schema", .string("http://json-schema.org/draft-07/schema#")),
            ("title", .string("\(file) of mesher \(BuildInfo.sourceVersion)")),
        ]
    }

    // MARK: Keys

    private let keys: [KnownKey]
    private var tree = KeyTree()
    private let writer = SchemaWriter(hasPlaceholders: true)

    private init(_ keys: [KnownKey]) {
        self.keys = keys
        for key in keys {
            for variant in KeyPattern.expanded(key.pattern.text) {
                // A map whose keys are its own affair has a shape as a whole.
                let whole = variant.hasSuffix(".<key>") ? String(variant.dropLast(".<key>".count)) : variant
                for spelling in ConfigAlias.spellings(of: whole) { self.tree.add(spelling, Self.definition(of: key)) }
            }
        }
    }

    private func bytes(_ file: String) -> [UInt8] {
        var definitions = self.keys.map { (Self.definition(of: $0), OrderedJSON.object(self.members($0))) }
        let root = self.map(self.tree, path: [], &definitions)
        return OrderedJSON.object(Self.head(file) + root + [("definitions", .object(definitions))]).bytes + [.lineFeed]
    }

    /// The file of `mesher dev`, in which maps of such keys stand.
    private func devBytes(_ file: String) -> [UInt8] {
        var definitions = self.keys.map { (Self.definition(of: $0), OrderedJSON.object(self.members($0))) }
        let map = self.map(self.tree, path: [], &definitions)
        definitions.append((SchemaWriter.configuration, .object(map)))
        let root = self.writer.members(.map(DevFileShape.file), isNullable: false)
        return OrderedJSON.object(Self.head(file) + root + [("definitions", .object(definitions))]).bytes + [.lineFeed]
    }

    /// The pattern without what a reference would have to escape.
    private static func definition(of key: KnownKey) -> String {
        key.pattern.text.filter { $0.isLetter || $0.isNumber || "._-".contains($0) }
    }

    private static func reference(_ definition: String) -> SchemaWriter.Members {
        [("$ref", .string("#/definitions/\(definition)"))]
    }

    private func members(_ key: KnownKey) -> SchemaWriter.Members {
        let reload = key.reload == .live ? "live" : "at the next start"
        var members: SchemaWriter.Members
        switch key.state {
        case .active: members = [("description", .string("\(key.help) (\(key.typeName); \(reload))"))]
        case .later:
            let mark = "Not active yet: it has no effect in this version."
            members = [
                ("description", .string("\(key.help) (\(key.typeName))")), ("deprecationMessage", .string(mark)),
            ]
        case .unused(let why):
            let mark = "Has no effect: \(why)."
            members = [
                ("description", .string(mark)), ("deprecated", .bool(true)), ("deprecationMessage", .string(mark)),
            ]
        }
        // The keys of a map that are its own affair may have any value, unless somebody says what they are.
        let isAffair = key.pattern.text.contains("<key>") && !key.isStructured
        members += self.writer.members(isAffair ? .any : key.shape, isNullable: true)
        if let fallback = Self.fallback(key) { members.append(("default", fallback)) }
        return members
    }

    private static func fallback(_ key: KnownKey) -> OrderedJSON? {
        let text = key.fallbackText
        if text.isEmpty { return nil }
        switch key.shape {
        case .bool, .flag: return .bool(text == "true")
        case .integer, .size, .either: return Int(text).map { .number($0) } ?? .string(text)
        default: return .string(text)
        }
    }

    // MARK: Maps

    /// The keys of maps in which one that is not known is an error.
    private static let strict = ["mesh"]

    private func map(
        _ tree: KeyTree, path: [String], _ definitions: inout [(String, OrderedJSON)]
    ) -> SchemaWriter.Members {
        var members: SchemaWriter.Members = [("type", .array([.string("object"), .string("null")]))]
        members += self.keys(of: tree, path: path, &definitions)
        if let others = tree.others {
            members.append(("additionalProperties", .object(self.others(others, path: path, &definitions))))
        } else if path.count == 1, Self.strict.contains(path[0]) {
            members.append(("additionalProperties", .bool(false)))
        }
        return members
    }

    private func keys(
        of tree: KeyTree, path: [String], _ definitions: inout [(String, OrderedJSON)]
    ) -> SchemaWriter.Members {
        var properties: [(String, OrderedJSON)] = []
        for name in tree.names {
            properties.append((name, .object(self.value(tree[name], path: path + [name], &definitions))))
        }
        let dotted = tree.dotted.map { ($0.expression, OrderedJSON.object(Self.reference($0.definition))) }
        return (properties.isEmpty ? [] : [("properties", .object(properties))])
            + (dotted.isEmpty ? [] : [("patternProperties", .object(dotted))])
    }

    private func value(
        _ tree: KeyTree, path: [String], _ definitions: inout [(String, OrderedJSON)]
    ) -> SchemaWriter.Members {
        let leaf = tree.definition.map(Self.reference)
        guard tree.isMap else { return leaf ?? [] }
        let map = self.map(tree, path: path, &definitions)
        return leaf.map { self.writer.anyOf([$0, map]) } ?? map
    }

    /// What stands behind a name that users choose: it may have dots, as those of services do, and dots may be maps.
    private func others(
        _ tree: KeyTree, path: [String], _ definitions: inout [(String, OrderedJSON)]
    ) -> SchemaWriter.Members {
        let name = (path + ["_"]).joined(separator: ".")
        let own = Self.reference(name)
        var members = self.keys(of: tree, path: path + ["_"], &definitions)
        if let others = tree.others {
            members.append(
                ("additionalProperties", .object(self.others(others, path: path + ["_"], &definitions))))
        } else {
            members.append(("additionalProperties", .object(own)))
        }
        if let leaf = tree.definition {
            let map: SchemaWriter.Members = [("type", .string("object"))] + members
            definitions.append((name, .object(self.writer.anyOf([Self.reference(leaf), map]))))
            return own
        }
        definitions.append((name, .object(members)))
        let types = OrderedJSON.array([.string("object"), .string("null")])
        return [("allOf", .array([.object(own)])), ("type", types)]
    }
}
