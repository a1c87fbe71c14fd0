// SPDX-License-Identifier: Apache-2.0

/// Finds the family that a key belongs to.
///
/// The families make a tree of their parts, which a key is followed through: a look-up costs the key's parts times the few
/// families that begin as it does, however many there are in all.
package struct KeyIndex: Sendable {
    /// What the families say of a key, each by its number: the first one, where several do.
    package struct Finding: Equatable, Sendable {
        /// The family that it belongs to.
        package var key: Int?
        /// A family that a key above it belongs to, which is therefore no map.
        package var above: Int?
        /// A family with keys below it, so that it is a map.
        package var below: Int?
        /// The same where it stands in the place of a name that anybody may choose.
        package var belowName: Int?

        /// A finding; nothing without parameters.
        package init(key: Int? = nil, above: Int? = nil, below: Int? = nil, belowName: Int? = nil) {
            self.key = key
            self.above = above
            self.below = below
            self.belowName = belowName
        }
    }

    private struct Node: Sendable {
        /// Whether it stands for a name that anybody may choose, of one part or several.
        let isName: Bool
        var children: [String: Int] = [:]
        var nameChild: Int?
        var key: Int?
        var below: Int?
    }

    private var nodes = [Node(isName: false)]
    /// Families by their last parts: `strategy.name`, `name`; `limit.*` where a name is the last one.
    private var endings: [String: [Int]] = [:]

    /// An index of families; their numbers are their places in the list.
    package init(_ patterns: [KeyPattern]) {
        for (number, pattern) in patterns.enumerated() {
            for parts in pattern.variants {
                self.add(parts[...], at: 0, number)
                self.addEndings(of: parts, number)
            }
        }
    }

    private mutating func add(_ parts: ArraySlice<KeyPattern.Part>, at node: Int, _ number: Int) {
        guard let part = parts.first else {
            if self.nodes[node].key == nil { self.nodes[node].key = number }
            return
        }
        if self.nodes[node].below == nil { self.nodes[node].below = number }
        let rest = parts.dropFirst()
        for name in part.names { self.add(rest, at: self.child(name, of: node), number) }
        if part == .any { self.add(rest, at: self.nameChild(of: node), number) }
    }

    private mutating func child(_ name: String, of node: Int) -> Int {
        if let child = self.nodes[node].children[name] { return child }
        self.nodes.append(Node(isName: false))
        self.nodes[node].children[name] = self.nodes.count - 1
        return self.nodes.count - 1
    }

    private mutating func nameChild(of node: Int) -> Int {
        if let child = self.nodes[node].nameChild { return child }
        self.nodes.append(Node(isName: true))
        self.nodes[node].nameChild = self.nodes.count - 1
        return self.nodes.count - 1
    }

    private mutating func addEndings(of parts: [KeyPattern.Part], _ number: Int) {
        guard let last = parts.last else { return }
        let before = parts.dropLast().last?.names ?? []
        let names = last == .any ? ["*"] : last.names
        var endings = before.flatMap { start in names.map { "\(start).\($0)" } }
        if last != .any { endings += names }
        for ending in endings where self.endings[ending]?.contains(number) != true {
            self.endings[ending, default: []].append(number)
        }
    }

    /// What the families say of `key`, in its canonical spelling.
    package func find(_ key: String) -> Finding {
        var finding = Finding()
        var places = [0]
        for (index, part) in Self.parts(key).enumerated() {
            if index > 0, finding.above == nil { finding.above = self.first(places, \.key) }
            places = self.places(behind: places, String(part))
            if places.isEmpty { return finding }
        }
        finding.key = self.first(places, \.key)
        finding.below = self.first(places.filter { !self.nodes[$0].isName }, \.below)
        finding.belowName = self.first(places.filter { self.nodes[$0].isName }, \.below)
        return finding
    }

    private static func parts(_ key: String) -> [Substring] {
        key.split(separator: ".", omittingEmptySubsequences: false)
    }

    private func first(_ places: [Int], _ path: KeyPath<Node, Int?>) -> Int? {
        places.lazy.compactMap { self.nodes[$0][keyPath: path] }.min()
    }

    private func places(behind places: [Int], _ part: String) -> [Int] {
        var next: [Int] = []
        for place in places {
            let node = self.nodes[place]
            for found in [node.children[part], node.nameChild, node.isName ? place : nil] {
                if let found, !next.contains(found) { next.append(found) }
            }
        }
        return next
    }

    // MARK: What somebody meant

    /// The spelling in some family that is nearest to a key of none: each part by itself, names as they are written.
    ///
    /// - Returns: `nil` when more than three letters are other, or more than a third of a part's.
    package func nearest(to key: String) -> String? {
        struct Way {
            let cost: Int
            let text: String
        }
        var ways = [0: Way(cost: 0, text: "")]
        for part in Self.parts(key) {
            var next: [Int: Way] = [:]
            func offer(_ place: Int, _ cost: Int, _ name: some StringProtocol, _ way: Way) {
                let text = way.text.isEmpty ? String(name) : "\(way.text).\(name)"
                if cost > 3 { return }
                if let old = next[place], (old.cost, old.text) <= (cost, text) { return }
                next[place] = Way(cost: cost, text: text)
            }
            for (place, way) in ways {
                let node = self.nodes[place]
                for (name, child) in node.children {
                    guard let distance = name == part ? 0 : Spelling.slips(from: part, to: name) else { continue }
                    offer(child, way.cost + distance, name, way)
                }
                if let child = node.nameChild, !part.isEmpty { offer(child, way.cost, part, way) }
                if node.isName { offer(place, way.cost, part, way) }
            }
            ways = next
        }
        return ways.filter { self.nodes[$0.key].key != nil }.values.min { ($0.cost, $0.text) < ($1.cost, $1.text) }?
            .text
    }

    /// The names of the maps below which a key would be one: it was written one level too far out.
    package func maps(around key: String) -> [String] {
        var parts = Self.parts(key)
        guard let last = parts.popLast().map(String.init) else { return [] }
        var places = [0]
        for part in parts { places = self.places(behind: places, String(part)) }
        let found = places.flatMap { place in
            self.nodes[place].children.compactMap { name, child -> (name: String, number: Int)? in
                guard let leaf = self.nodes[child].children[last] else { return nil }
                return self.nodes[leaf].key.map { (name, $0) }
            }
        }
        return found.sorted { ($0.number, $0.name) < ($1.number, $1.name) }.map(\.name)
    }

    /// The part of a key that begins to be other than every family, and the few names that it could have had.
    package func stray(in key: String) -> (part: String, names: [String])? {
        var places = [0]
        let parts = Self.parts(key)
        for (index, part) in parts.enumerated() {
            let next = self.places(behind: places, String(part))
            guard next.isEmpty else {
                places = next
                continue
            }
            // What follows goes on below the others.
            let isLast = index == parts.count - 1
            let names = places.flatMap { place in
                self.nodes[place].children.filter { isLast == (self.nodes[$0.value].key != nil) }.map(\.key)
            }
            return (1...3).contains(names.count) ? (String(part), names.sorted()) : nil
        }
        return nil
    }

    /// The families that end as a key does, the longest likeness first.
    package func families(endingLike key: String) -> [[Int]] {
        let parts = Self.parts(key)
        guard let last = parts.last else { return [] }
        let before = parts.dropLast().last ?? ""
        return ["\(before).\(last)", "\(before).*", String(last)].compactMap { self.endings[$0] }
    }
}
