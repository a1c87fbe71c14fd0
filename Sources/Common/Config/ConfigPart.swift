// SPDX-License-Identifier: Apache-2.0

/// A map inside a list or a text of the configuration, and the mistakes found in it.
package struct ConfigPart {
    private let name: String
    private let tree: ConfigTree
    /// The mistakes so far.
    private(set) var problems: [ConfigProblem] = []

    /// An element of the list `key`.
    package init(_ key: String, _ element: ConfigTree) { self.init(name: "\(key)[]", element) }

    private init(name: String, _ tree: ConfigTree) {
        self.name = name
        self.tree = tree
        guard case .map = tree else {
            let remedy = "write a map: {name: value}"
            self.problems = [ConfigProblem(at: tree.location, key: name, "this is no map", remedy: remedy)]
            return
        }
    }

    /// Warns of all keys but those of `shape`.
    package mutating func allow(_ shape: MapShape) {
        guard case .map(let entries, _) = self.tree else { return }
        let known = shape.names
        for entry in entries where !known.contains(entry.key) {
            let near = Spelling.nearest(to: entry.key, among: known)
            self.problems.append(.unknown("\(self.name).\(entry.key)", at: entry.location, near: near))
        }
    }

    /// Whether a key is there.
    package func has(_ key: String) -> Bool { self.tree[key] != nil }

    /// The text of a key; `nil` when it is absent.
    package func text(_ key: String) -> String? { self.tree[key]?.text }

    /// The value of a key; `nil` when it is absent or, after a mistake was noted, unreadable.
    package mutating func read<Value>(_ key: String, _ kind: ConfigKind<Value>) -> Value? {
        guard let tree = self.tree[key] else { return nil }
        if case .null = tree { return nil }
        guard let text = tree.text else {
            self.note(key, ConfigMistake("more than one value stands here", remedy: "write \(kind.name)"))
            return nil
        }
        do {
            return try kind.parse(text)
        } catch {
            self.note(key, error)
            return nil
        }
    }

    /// Looks into a map inside; does nothing when it is absent.
    package mutating func inside(_ key: String, _ body: (inout ConfigPart) -> Void) {
        guard let tree = self.tree[key] else { return }
        if case .null = tree { return }
        var part = ConfigPart(name: "\(self.name).\(key)", tree)
        body(&part)
        self.problems += part.problems
    }

    /// Notes a mistake in the value of a key.
    package mutating func note(_ key: String, _ mistake: ConfigMistake) {
        self.problems.append(
            ConfigProblem(at: self.location(key), key: "\(self.name).\(key)", mistake.problem, remedy: mistake.remedy))
    }

    /// Says that a value has no effect.
    package mutating func warn(_ key: String, _ problem: String) {
        self.problems.append(ConfigProblem(.note, at: self.location(key), key: "\(self.name).\(key)", problem))
    }

    private func location(_ key: String) -> ConfigLocation { self.tree[key]?.location ?? self.tree.location }
}
