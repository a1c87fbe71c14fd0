// SPDX-License-Identifier: Apache-2.0

/// What stands in rules, against what belongs there.
extension RuleProblems {
    /// Refuses keys of a map that nobody reads, and what is of another kind than belongs there: a list for a map, a map for
    /// one value, nothing at all.
    ///
    /// What belongs into a map inside it was written too far out. The keys of maps inside are left to whoever reads these.
    ///
    /// - Parameter takesNull: Whether nothing may stand behind a key.
    /// - Returns: Whether everything is of the right kind.
    @discardableResult
    mutating func allow(_ shape: MapShape, in tree: ConfigTree, takesNull: Bool = false) -> Bool {
        guard case .map(let entries, _) = tree else {
            self.refuse(tree, .map(shape), behind: nil)
            return false
        }
        var isRight = true
        let known = shape.names
        for entry in entries {
            if let inner = shape.keys.first(where: { $0.name == entry.key })?.shape ?? shape.others {
                if takesNull, case .null = entry.value { continue }
                if !self.fits(entry.value, inner, behind: entry.key) { isRight = false }
                continue
            }
            let near = Spelling.nearest(to: entry.key, among: known)
            let home = shape.keys.first { $0.shape.innerNames.contains(entry.key) }?.name
            let remedy = home.map { "it belongs below \($0)" } ?? "write one of \(known.joined(separator: ", "))"
            self.add(
                .unknown(
                    "\(self.key): \(entry.key)", .error, at: entry.location, near: home == nil ? near : nil,
                    remedy: remedy))
        }
        return isRight
    }

    private mutating func fits(_ tree: ConfigTree, _ shape: Shape, behind key: String) -> Bool {
        switch (shape, tree) {
        case (.any, _), (.either, _), (.map, .map), (.onlyList, .list): return true
        case (.list(.map), .list), (.list(.map), .map), (.list(.map), .text): return true
        case (.list(let item), .list(let elements, _)):
            for element in elements where !self.fits(element, item, behind: key) { return false }
            return true
        case (.list(let item), _) where !tree.isMapOrEmpty: return self.fits(tree, item, behind: key)
        case (.map, _), (.list, _), (.onlyList, _): break
        case (_, .text): return true
        default: break
        }
        self.refuse(tree, shape, behind: key)
        return false
    }

    /// - Parameter key: What the value stands behind; `nil` for an element of a list.
    private mutating func refuse(_ tree: ConfigTree, _ shape: Shape, behind key: String?) {
        let place = key.map { "\($0): " } ?? ""
        let meant = "\(place)\(shape.sample(of: tree))"
        switch tree {
        case .null:
            let problem = key.map { "nothing stands behind \($0)" } ?? "nothing stands here"
            self.note(tree.location, ConfigMistake(problem, remedy: "write \(meant), or take \(key ?? "it") out"))
        case .text, .list, .map:
            self.note(
                tree.location,
                ConfigMistake("a \(tree.kindName) stands where \(shape.kindName) belongs", remedy: "write \(meant)"))
        }
    }
}

extension Shape {
    /// What readers call its kind.
    fileprivate var kindName: String {
        switch self {
        case .map: "a map"
        case .list, .onlyList: "a list"
        default: "one value"
        }
    }

    /// How it is written, with what stands in `tree` where that fits.
    fileprivate func sample(of tree: ConfigTree) -> String {
        switch self {
        case .map(let map): map.sample(of: tree)
        case .list(let item): "[\(item.sample(of: tree))]"
        default: tree.firstText ?? "…"
        }
    }
}

extension MapShape {
    fileprivate func sample(of tree: ConfigTree) -> String {
        guard let first = self.keys.first else {
            let name = tree.firstName ?? tree.firstText ?? "name"
            if case .map(let inner)? = self.others { return "{\(name): {\(inner.names.first ?? "key"): …}}" }
            return "{\(name): …}"
        }
        if let name = tree.firstName, self.others != nil || self.names.contains(name) { return "{\(name): …}" }
        guard case .text(let text, _) = tree else { return "{\(first.name): …}" }
        switch first.shape {
        case .text, .suggested: return "{\(first.name): \(text)}"
        case .integer where Int(text) != nil: return "{\(first.name): \(text)}"
        default: return "{\(first.name): …}"
        }
    }
}

extension ConfigTree {
    fileprivate var kindName: String {
        switch self {
        case .text: "text"
        case .list: "list"
        case .map: "map"
        case .null: "null"
        }
    }

    /// The first key in it.
    fileprivate var firstName: String? {
        switch self {
        case .map(let entries, _): entries.first?.key
        case .list(let elements, _): elements.first?.firstName
        case .text, .null: nil
        }
    }

    /// The first value in it.
    fileprivate var firstText: String? {
        switch self {
        case .text(let text, _): text
        case .list(let elements, _): elements.first?.firstText
        case .map(let entries, _): entries.first?.value.firstText
        case .null: nil
        }
    }
}
