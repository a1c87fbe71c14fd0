// SPDX-License-Identifier: Apache-2.0

/// What the match of a route asks for, in a form that shows whether another one asks for less.
struct RouteShape: Hashable {
    /// What is asked of the path.
    private struct Path: Hashable {
        /// `exact`, `prefix`, `below` or `regex`.
        let kind: String
        let text: String

        /// Whether it is there for every path.
        var takesAll: Bool {
            switch self.kind {
            case "prefix": self.text == "/" || self.text.isEmpty
            case "below": self.text.isEmpty
            case "regex": [".*", "/.*", "^.*", "^/.*", "^.*$", "^/.*$"].contains(self.text)
            default: false
            }
        }

        func covers(_ other: Path) -> Bool {
            if self.takesAll || self == other { return true }
            guard other.kind != "regex" else { return false }
            switch self.kind {
            case "prefix": return other.text.hasPrefix(self.text)
            case "below":
                return other.text.hasPrefix("\(self.text)/") || other.kind != "prefix" && other.text == self.text
            default: return false
            }
        }
    }

    private var path: Path?
    private var methods: Set<String> = []
    /// All of them must hold.
    private var conditions: Set<String> = []

    /// Asks for nothing.
    init() {}

    /// The match of a rule of ServiceComb, or of a route of `mesh.yaml`.
    init(_ tree: ConfigTree) {
        for entry in tree.entries {
            switch entry.key {
            case "path":
                guard let path = entry.value.entries.first, let text = path.value.text else { continue }
                let isSlashed = path.key == "below" && text.hasSuffix("/")
                self.path = Path(kind: path.key, text: isSlashed ? String(text.dropLast()) : text)
            case "methods": self.methods = Set(entry.value.elements.compactMap(\.text))
            case "headers", "httpHeaders":
                for header in entry.value.entries {
                    self.conditions.insert("header \(header.key.lowercased()) \(header.value.plain)")
                }
            case "sourceTags", "queries":
                for part in entry.value.entries {
                    self.conditions.insert("\(entry.key) \(part.key) \(part.value.plain)")
                }
            case "source" where entry.value.text?.isEmpty != false: break
            case "refer": break
            default: self.conditions.insert("\(entry.key) \(entry.value.plain)")
            }
        }
    }

    /// What a policy marks.
    init(marked name: String) { self.conditions = ["mark \(name)"] }

    /// Whether it asks for nothing that some requests lack.
    var takesAll: Bool { self.conditions.isEmpty && self.methods.isEmpty && self.path?.takesAll != false }

    /// Whether every request that `other` is for is one of these too.
    func covers(_ other: RouteShape) -> Bool {
        guard self.conditions.isSubset(of: other.conditions) else { return false }
        if !self.methods.isEmpty {
            guard !other.methods.isEmpty, other.methods.isSubset(of: self.methods) else { return false }
        }
        guard let path = self.path, !path.takesAll else { return true }
        return other.path.map { path.covers($0) } ?? false
    }
}

/// Finds the routes that no request comes to.
struct RouteOrder {
    /// A route, or one of several matches of it.
    struct Element {
        let shape: RouteShape
        let location: ConfigLocation
        /// Which route it is of.
        let route: Int
        let precedence: Int
    }

    /// More of them are looked at only for those that are equal, since all pairs would take long.
    private static let most = 300

    /// Elements behind one that takes all of their requests, with that one.
    ///
    /// - Parameter elements: In the order in which they are tried.
    static func unreached(_ elements: [Element]) -> [(element: Element, by: Element)] {
        var found: [(Element, Element)] = []
        var equal: [RouteShape: Element] = [:]
        var all: Element?
        for (index, element) in elements.enumerated() {
            var first = all ?? equal[element.shape]
            if first == nil, elements.count <= Self.most {
                first = elements[..<index].first { $0.shape.covers(element.shape) }
            }
            if let first { found.append((element, first)) }
            if equal[element.shape] == nil { equal[element.shape] = element }
            if all == nil, element.shape.takesAll { all = element }
        }
        return found
    }
}
