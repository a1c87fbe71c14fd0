// SPDX-License-Identifier: Apache-2.0

/// Looks at the keys that no component reads: those of later versions, those without effect, those that nobody knows, and
/// those that are written twice.
package enum ConfigReview {
    /// What there is to say about the keys of `store`.
    package static func problems(of store: ConfigStore) -> [ConfigProblem] {
        var unknown = UnknownKeys(store)
        var problems: [ConfigProblem] = []
        for (canonical, rank, entry) in store.allKeys {
            if rank == .environment || rank == .fallback, !Self.isOurs(canonical) { continue }
            let finding = ConfigCatalogue.index.find(canonical)
            guard let known = finding.key.map({ ConfigCatalogue.all[$0] }) else {
                // Whoever reads the hosts of a mesh looks at all of it.
                if !canonical.hasPrefix("mesh.") { problems.append(unknown.problem(canonical, rank, entry, finding)) }
                continue
            }
            switch known.state {
            case .active: break
            case .later:
                problems += UnknownKeys.slip(canonical, rank, entry).map { [$0] } ?? Self.notActive(known, entry)
            case .unused(let why): problems.append(Self.note(entry, "has no effect: \(why)"))
            }
        }
        return problems + Self.repeated(in: store)
    }

    /// The environment and configuration servers are full of what is none of our business.
    static func isOurs(_ key: String) -> Bool {
        ["cse.", "mesher.", "service_description.", "ssl."].contains { key.hasPrefix($0) }
    }

    /// Keys that a source has twice: in two files, or in both spellings.
    private static func repeated(in store: ConfigStore) -> [ConfigProblem] {
        store.repeated.compactMap { canonical, lost, kept in
            guard ConfigCatalogue.key(canonical) != nil else { return nil }
            let isSame = lost.value.plain == kept.value.plain
            let other = lost.key == kept.key ? "the same key" : kept.key
            return ConfigProblem(
                isSame ? .note : .warning, at: lost.value.location, key: lost.key,
                "has no effect: \(other) at \(kept.value.location) counts\(isSame ? ", and says the same" : "")",
                remedy: "keep one of them")
        }
    }

    private static func notActive(_ known: KnownKey, _ entry: ConfigSource.Entry) -> [ConfigProblem] {
        var problems: [ConfigProblem] = []
        if !known.isStructured {
            if let text = known.isList ? entry.value.joinedTexts : entry.value.text {
                if let mistake = known.mistake(in: text) { problems.append(Self.error(entry, mistake)) }
            } else {
                let mistake = ConfigMistake(
                    "a list stands where one value belongs", remedy: "write one \(known.typeName)")
                problems.append(Self.error(entry, mistake))
            }
        }
        problems += RuleReview.problems(of: entry)
        return problems.isEmpty ? [Self.note(entry, "not active yet")] : problems
    }

    private static func error(_ entry: ConfigSource.Entry, _ mistake: ConfigMistake) -> ConfigProblem {
        ConfigProblem(at: entry.value.location, key: entry.key, mistake.problem, remedy: mistake.remedy)
    }

    private static func note(_ entry: ConfigSource.Entry, _ text: String) -> ConfigProblem {
        ConfigProblem(.note, at: entry.value.location, key: entry.key, text)
    }
}

/// Looks for regular expressions in rules that are not active yet.
enum RuleReview {
    /// The mistakes in the expressions of an entry.
    static func problems(of entry: ConfigSource.Entry) -> [ConfigProblem] {
        guard entry.key.hasSuffix("ingress.rule.http") else {
            return Self.problems(in: entry.value, named: entry.key.hasSuffix(".regex") ? "regex" : "", entry)
        }
        do {
            return Self.problems(in: try RuleText.read(entry), named: "", entry)
        } catch {
            return [error]
        }
    }

    private static func problems(
        in tree: ConfigTree, named name: String, _ entry: ConfigSource.Entry
    ) -> [ConfigProblem] {
        switch tree {
        case .text(let text, let location):
            guard name == "regex" || name == "apiPath" else { return [] }
            do {
                _ = try RegularExpression(text)
                return []
            } catch {
                return [ConfigProblem(at: location, key: entry.key, error.problem, remedy: error.remedy)]
            }
        case .list(let elements, _): return elements.flatMap { Self.problems(in: $0, named: name, entry) }
        case .map(let entries, _): return entries.flatMap { Self.problems(in: $0.value, named: $0.key, entry) }
        case .null: return []
        }
    }
}
