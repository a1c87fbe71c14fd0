// SPDX-License-Identifier: Apache-2.0

/// A configuration file as written: maps, lists and texts, each with its place.
package indirect enum ConfigTree: Sendable {
    case text(String, ConfigLocation)
    case list([ConfigTree], ConfigLocation)
    case map([Entry], ConfigLocation)
    /// Nothing behind the colon, or `null`.
    case null(ConfigLocation)

    /// One `key: value`.
    package struct Entry: Sendable {
        /// As it was written.
        package let key: String
        /// Where the key stands.
        package let location: ConfigLocation
        /// What stands behind it.
        package let value: ConfigTree

        /// An entry.
        package init(key: String, location: ConfigLocation, value: ConfigTree) {
            self.key = key
            self.location = location
            self.value = value
        }
    }

    /// Files beyond this are refused: configuration may come from a server, and is not trusted to be small.
    private static let sizeLimit = 8 * 1024 * 1024

    /// Reads YAML; JSON is a subset of it.
    ///
    /// Scalars stay texts: whether `1.10` is a version or a number is for the key to say. Any bytes may come: what they cost
    /// is bounded, and what is wrong with them is told where its cause is.
    ///
    /// - Parameter bytes: UTF-8.
    /// - Parameter source: The file's path, for messages.
    package init(yaml bytes: [UInt8], source: String) throws(ConfigProblem) {
        var quoted: Set<ConfigLocation> = []
        try self.init(yaml: bytes, source: source, quoted: &quoted)
    }

    /// The same, for whoever has to tell a number from a text that looks like one.
    ///
    /// - Parameter quoted: Set to the places of texts that have quotes or are blocks.
    package init(yaml bytes: [UInt8], source: String, quoted: inout Set<ConfigLocation>) throws(ConfigProblem) {
        guard bytes.count <= Self.sizeLimit else {
            throw ConfigProblem(
                at: ConfigLocation(source), "the file is larger than \(Self.sizeLimit) bytes",
                remedy: "split it or make it smaller")
        }
        var composer = try YAMLComposer(bytes, source: source)
        self = try composer.compose()
        quoted = composer.quoted
    }

    /// The same for a text.
    package init(yaml: String, source: String) throws(ConfigProblem) {
        try self.init(yaml: Array(yaml.utf8), source: source)
    }

    /// Where it stands.
    package var location: ConfigLocation {
        switch self {
        case .text(_, let location), .list(_, let location), .map(_, let location), .null(let location): location
        }
    }

    /// The value of a map's key; `nil` when this is no map or has no such key.
    package subscript(key: String) -> ConfigTree? {
        guard case .map(let entries, _) = self else { return nil }
        return entries.first { $0.key == key }?.value
    }

    /// The text, when it is one.
    package var text: String? { if case .text(let text, _) = self { text } else { nil } }

    /// Whether it is a map, or nothing.
    package var isMapOrEmpty: Bool {
        switch self {
        case .map, .null: true
        case .text, .list: false
        }
    }

    /// The same without places: equal for trees that say the same.
    package var plain: String {
        switch self {
        case .text(let text, _): "\"\(text)\""
        case .list(let list, _): "[\(list.map(\.plain).joined(separator: ","))]"
        case .map(let entries, _): "{\(entries.map { "\($0.key):\($0.value.plain)" }.sorted().joined(separator: ","))}"
        case .null: "null"
        }
    }

    /// The text, or the texts of a list with commas between them; `nil` when there is anything else in the list.
    package var joinedTexts: String? {
        guard case .list(let elements, _) = self else { return self.text }
        let texts = elements.compactMap(\.text)
        return texts.count == elements.count ? texts.joined(separator: ",") : nil
    }

    /// The same with every text changed by `change`.
    package func mapTexts(_ change: (String) -> String) -> ConfigTree {
        switch self {
        case .text(let text, let location): .text(change(text), location)
        case .list(let list, let location): .list(list.map { $0.mapTexts(change) }, location)
        case .map(let entries, let location):
            .map(
                entries.map { Entry(key: $0.key, location: $0.location, value: $0.value.mapTexts(change)) }, location)
        case .null: self
        }
    }

    /// Maps joined with dots; texts and lists are the leaves, nulls are dropped.
    package func flattened() -> [(key: String, value: ConfigTree)] {
        var leaves: [(String, ConfigTree)] = []
        self.flatten(prefix: "", into: &leaves)
        return leaves
    }

    private func flatten(prefix: String, into leaves: inout [(String, ConfigTree)]) {
        switch self {
        case .null: break
        case .text, .list: leaves.append((prefix, self))
        case .map(let entries, _):
            for entry in entries {
                entry.value.flatten(prefix: prefix.isEmpty ? entry.key : "\(prefix).\(entry.key)", into: &leaves)
            }
        }
    }
}
