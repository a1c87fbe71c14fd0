// SPDX-License-Identifier: Apache-2.0

/// The keys of files as the tree of maps that YAML makes of them.
struct KeyTree {
    /// What the key that ends here is called among the definitions; `nil` where only longer keys go on.
    private(set) var definition: String?
    /// The names that may follow, in the order in which they were added.
    private(set) var names: [String] = []
    private var children: [String: KeyTree] = [:]
    /// What follows a name that users choose; one at most.
    private var free: [KeyTree] = []

    /// Adds a key, unless it is there.
    ///
    /// - Parameter spelling: Dotted, with free parts in angle brackets and without optional ones.
    mutating func add(_ spelling: String, _ definition: String) {
        self.add(spelling.split(separator: ".").map { KeyPattern.Part($0) }[...], definition)
    }

    private mutating func add(_ parts: ArraySlice<KeyPattern.Part>, _ definition: String) {
        guard let first = parts.first else {
            self.definition = self.definition ?? definition
            return
        }
        switch first {
        case .literal(let name): self.add(String(name), parts.dropFirst(), definition)
        case .oneOf(let names): for name in names { self.add(String(name), parts.dropFirst(), definition) }
        case .any:
            if self.free.isEmpty { self.free = [KeyTree()] }
            self.free[0].add(parts.dropFirst(), definition)
        }
    }

    private mutating func add(_ name: String, _ rest: ArraySlice<KeyPattern.Part>, _ definition: String) {
        if self.children[name] == nil { self.names.append(name) }
        self.children[name, default: KeyTree()].add(rest, definition)
    }

    /// What follows `name`.
    subscript(name: String) -> KeyTree { self.children[name] ?? KeyTree() }

    /// What follows a name that users choose; `nil` where there is none.
    var others: KeyTree? { self.free.first }

    /// Whether keys go on from here.
    var isMap: Bool { !self.names.isEmpty || !self.free.isEmpty }

    /// The keys below that may be written with dots in place of maps, each as an expression for its name.
    var dotted: [(expression: String, definition: String)] {
        self.below.filter { $0.isDotted }.map { ("^\($0.expression)$", $0.definition) }
    }

    private var below: [(expression: String, isDotted: Bool, definition: String)] {
        let parts = self.names.map { ($0.replacing(".", with: "\\."), self[$0]) } + self.free.map { (".+", $0) }
        return parts.flatMap { part, child in
            (child.definition.map { [(part, false, $0)] } ?? [])
                + child.below.map { ("\(part)\\.\($0.expression)", true, $0.definition) }
        }
    }
}
