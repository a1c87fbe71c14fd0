// SPDX-License-Identifier: Apache-2.0

/// Reads values that are texts with YAML or JSON inside, as servers of settings keep rules.
enum RuleText {
    /// The tree inside an entry's text, its places corrected to the file that the text stands in: those of a block begin in
    /// the line behind its key, those of a text in quotes in the same line.
    ///
    /// A value that is a tree already, as files may write it, is taken as it is.
    static func read(_ entry: ConfigSource.Entry) throws(ConfigProblem) -> ConfigTree {
        guard let text = entry.value.text else { return entry.value }
        let outer = entry.value.location
        do {
            return try ConfigTree(yaml: text, source: outer.source).moved(behind: outer, isBlock: text.contains("\n"))
        } catch {
            throw ConfigProblem(
                at: outer, key: entry.key, "\(error.problem), in line \(error.location.line) of the text",
                remedy: error.remedy)
        }
    }
}

extension ConfigTree {
    /// The same with places counted from `outer`.
    fileprivate func moved(behind outer: ConfigLocation, isBlock: Bool) -> ConfigTree {
        func move(_ inner: ConfigLocation) -> ConfigLocation {
            guard outer.line > 0 else { return outer }
            return isBlock
                ? ConfigLocation(outer.source, line: outer.line + inner.line, column: inner.column)
                : ConfigLocation(outer.source, line: outer.line, column: outer.column + inner.column)
        }
        switch self {
        case .text(let text, let location): return .text(text, move(location))
        case .list(let list, let location):
            return .list(list.map { $0.moved(behind: outer, isBlock: isBlock) }, move(location))
        case .map(let entries, let location):
            let moved = entries.map { entry in
                Entry(
                    key: entry.key, location: move(entry.location),
                    value: entry.value.moved(behind: outer, isBlock: isBlock))
            }
            return .map(moved, move(location))
        case .null(let location): return .null(move(location))
        }
    }

    /// The elements of a list; one value stands for a list of it, nothing for an empty one.
    var elements: [ConfigTree] {
        switch self {
        case .list(let elements, _): elements
        case .null: []
        case .text, .map: [self]
        }
    }

    /// The entries of a map; none of anything else.
    var entries: [Entry] { if case .map(let entries, _) = self { entries } else { [] } }
}

/// Gathers the mistakes of rules under one key.
struct RuleProblems {
    /// The key, as it was written.
    let key: String
    private(set) var problems: [ConfigProblem] = []

    init(_ key: String) { self.key = key }

    /// Whether the rules cannot be used.
    var hasErrors: Bool { self.problems.contains { $0.severity == .error } }

    mutating func note(_ location: ConfigLocation, _ mistake: ConfigMistake) {
        self.problems.append(ConfigProblem(at: location, key: self.key, mistake.problem, remedy: mistake.remedy))
    }

    mutating func warn(_ location: ConfigLocation, _ problem: String, remedy: String) {
        self.problems.append(ConfigProblem(.warning, at: location, key: self.key, problem, remedy: remedy))
    }

    mutating func add(_ problem: ConfigProblem) { self.problems.append(problem) }

    /// Refuses keys of a map that nobody reads, and what is no map: where a typo would change what becomes of requests.
    mutating func allowOnly(_ shape: MapShape, in tree: ConfigTree) {
        let known = shape.names
        for entry in self.entries(tree) where !known.contains(entry.key) {
            let near = Spelling.nearest(to: entry.key, among: known)
            self.note(
                entry.location,
                ConfigMistake(
                    "unknown key \(entry.key)",
                    remedy: near.map { "did you mean \($0)?" } ?? "write one of \(known.joined(separator: ", "))"))
        }
    }
}
