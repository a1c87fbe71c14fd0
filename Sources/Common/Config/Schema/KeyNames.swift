// SPDX-License-Identifier: Apache-2.0

/// The names of keys for people who type them.
package enum KeyNames {
    /// The names of single keys that `text` may become, in the spelling that it has begun; sorted.
    ///
    /// A part that users choose is taken from `text`: `cse.loadbalance.cart.` has the keys of the service `cart`.
    package static func beginning(_ text: String) -> [String] {
        var found: Set<String> = []
        for key in ConfigCatalogue.all where key.state == .active {
            for variant in KeyPattern.expanded(key.pattern.text).flatMap(Self.alternatives) {
                // Nobody is offered the newer spelling before having begun with it.
                let spellings = text.hasPrefix("servicecomb.") ? ConfigAlias.spellings(of: variant) : [variant]
                for spelling in spellings {
                    guard let name = Self.fill(spelling, from: text), name.hasPrefix(text) else { continue }
                    found.insert(name)
                }
            }
        }
        return found.sorted()
    }

    /// What a key's value is usually one of; empty where it may be anything.
    package static func values(of name: String) -> [String] {
        ConfigCatalogue.key(ConfigAlias.canonical(name).key).map { Self.values(of: $0.shape) } ?? []
    }

    private static func values(of shape: Shape) -> [String] {
        switch shape {
        case .bool, .flag: ["true", "false"]
        case .choice(let names, _), .suggested(let names): names
        case .texts(let item): Self.values(of: item)
        case .either(let shapes): shapes.flatMap(Self.values)
        default: []
        }
    }

    /// A pattern with each of the names that one of its parts may be.
    private static func alternatives(_ pattern: String) -> [String] {
        guard let bar = pattern.firstIndex(of: "|"), let open = pattern[..<bar].lastIndex(of: "<"),
            let close = pattern[bar...].firstIndex(of: ">")
        else { return [pattern] }
        let names = pattern[pattern.index(after: open)..<close].split(separator: "|")
        return names.flatMap { name in
            Self.alternatives("\(pattern[..<open])\(name)\(pattern[pattern.index(after: close)...])")
        }
    }

    /// The name with the free part that `text` has; `nil` when it has none, or when there are several.
    private static func fill(_ pattern: String, from text: String) -> String? {
        guard let open = pattern.firstIndex(of: "<") else { return pattern }
        guard let close = pattern.firstIndex(of: ">"), text.hasPrefix(pattern[..<open]) else { return nil }
        let rest = pattern[pattern.index(after: close)...]
        let typed = text.dropFirst(pattern[..<open].count)
        let part = typed.prefix { $0 != "." }
        // A name that goes on is whole once its dot is there.
        guard !part.isEmpty, rest.isEmpty || part.count < typed.count, !rest.contains("<") else { return nil }
        return "\(pattern[..<open])\(part)\(rest)"
    }
}

extension KeyPattern {
    /// Whether a name of the family begins with the parts of `name`.
    func begins(with name: String) -> Bool {
        let parts = name.split(separator: ".", omittingEmptySubsequences: false)
        return self.variants.contains { Self.begins($0[...], parts[...]) }
    }

    private static func begins(_ pattern: ArraySlice<Part>, _ parts: ArraySlice<Substring>) -> Bool {
        guard let part = parts.first else { return true }
        guard let first = pattern.first else { return false }
        switch first {
        case .any: return (1...parts.count).contains { Self.begins(pattern.dropFirst(), parts.dropFirst($0)) }
        case .literal(let name): guard name == part else { return false }
        case .oneOf(let names): guard names.contains(where: { $0 == part }) else { return false }
        }
        return Self.begins(pattern.dropFirst(), parts.dropFirst())
    }
}
