// SPDX-License-Identifier: Apache-2.0

import Yams

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
    }

    /// Files beyond this are refused: configuration may come from a server, and is not trusted to be small.
    private static let sizeLimit = 8 * 1024 * 1024

    /// Reads YAML; JSON is a subset of it.
    ///
    /// - Parameter source: The file's path, for messages.
    package init(yaml: String, source: String) throws(ConfigProblem) {
        guard yaml.utf8.count <= Self.sizeLimit else {
            throw ConfigProblem(
                at: ConfigLocation(source), "the file is larger than \(Self.sizeLimit) bytes",
                remedy: "split it or make it smaller")
        }
        do {
            // Scalars stay texts: whether `1.10` is a version or a number is for the key to say.
            guard let node = try Yams.compose(yaml: yaml, .basic) else {
                self = .map([], ConfigLocation(source, line: 1, column: 1))
                return
            }
            var maker = Maker(source: source)
            self = try maker.make(node)
        } catch let problem as ConfigProblem {
            throw problem
        } catch let error as YamlError {
            throw Self.problem(error, source)
        } catch {
            throw ConfigProblem(at: ConfigLocation(source), "\(error)", remedy: "write valid YAML")
        }
    }

    /// Turns nodes into a tree, and counts them: a few lines of references to references can stand for billions.
    private struct Maker {
        let source: String
        var count = 0

        private static let limit = 200_000

        mutating func make(_ node: Node) throws(ConfigProblem) -> ConfigTree {
            let location = ConfigLocation(self.source, node.mark)
            self.count += 1
            guard self.count <= Self.limit else {
                throw ConfigProblem(
                    at: location,
                    "the file has more than \(Self.limit) values, references counted as often as they stand",
                    remedy: "use fewer anchors and aliases")
            }
            switch node {
            case .scalar(let scalar):
                let isPlain = scalar.style == .plain || scalar.style == .any
                return isPlain && ["", "~", "null"].contains(scalar.string)
                    ? .null(location) : .text(scalar.string, location)
            case .sequence(let sequence):
                var elements: [ConfigTree] = []
                for element in sequence { elements.append(try self.make(element)) }
                return .list(elements, location)
            case .mapping(let mapping): return .map(try self.entries(of: mapping), location)
            case .alias: return .null(location)
            }
        }

        /// The keys of a map; `<<` adds those of other maps that it does not have itself.
        ///
        /// - Source: the merge key of YAML 1.1.
        private mutating func entries(of mapping: Node.Mapping) throws(ConfigProblem) -> [Entry] {
            var entries: [Entry] = []
            var merged: [Entry] = []
            for (key, node) in mapping {
                let value = try self.make(node)
                let name = key.scalar?.string ?? ""
                guard name == "<<" else {
                    entries.append(Entry(key: name, location: ConfigLocation(self.source, key.mark), value: value))
                    continue
                }
                let maps = if case .list(let list, _) = value { list } else { [value] }
                for case .map(let others, _) in maps { merged += others }
            }
            for entry in merged where !entries.contains(where: { $0.key == entry.key }) { entries.append(entry) }
            return entries
        }
    }

    private static func problem(_ error: YamlError, _ source: String) -> ConfigProblem {
        switch error {
        case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
            .composer(_, let problem, let mark, _):
            return ConfigProblem(
                at: ConfigLocation(source, mark), "not valid YAML: \(problem)",
                remedy: "look at the indentation, quotes and colons of this line and the one above")
        case .duplicatedKeysInMapping(let duplicates, let context):
            return ConfigProblem(
                at: ConfigLocation(source, context.mark),
                "the key \(duplicates.joined(separator: ", ")) stands here twice", remedy: "keep one of them")
        default:
            return ConfigProblem(at: ConfigLocation(source), "not valid YAML: \(error)", remedy: "write valid YAML")
        }
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

extension ConfigLocation {
    fileprivate init(_ source: String, _ mark: Mark?) {
        self.init(source, line: mark?.line ?? 0, column: mark?.column ?? 0)
    }
}
