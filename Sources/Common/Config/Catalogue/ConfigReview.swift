// SPDX-License-Identifier: Apache-2.0

/// Looks at the keys that no component reads: those of later versions, those without effect, and those that nobody knows.
package enum ConfigReview {
    /// What there is to say about the keys of `store`.
    ///
    /// - Parameter isStrict: Whether a key that nobody knows is an error instead of a warning.
    package static func problems(of store: ConfigStore, isStrict: Bool) -> [ConfigProblem] {
        store.allKeys.flatMap { canonical, rank, entry -> [ConfigProblem] in
            if rank == .environment || rank == .fallback, !Self.isOurs(canonical) { return [] }
            guard let known = ConfigCatalogue.key(canonical) else {
                return [Self.unknown(canonical, entry, isStrict: isStrict)]
            }
            switch known.state {
            case .active: return []
            case .later: return Self.notActive(known, entry)
            case .unused(let why): return [Self.note(entry, "has no effect: \(why)")]
            }
        }
    }

    /// The environment and configuration servers are full of what is none of our business.
    static func isOurs(_ key: String) -> Bool {
        ["cse.", "mesher.", "service_description.", "ssl."].contains { key.hasPrefix($0) }
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

    private static func unknown(_ canonical: String, _ entry: ConfigSource.Entry, isStrict: Bool) -> ConfigProblem {
        if let parent = ConfigCatalogue.all.first(where: { $0.pattern.isAbove(canonical) }), !parent.isStructured {
            let mistake = ConfigMistake("a map stands where one value belongs", remedy: "write one \(parent.typeName)")
            return Self.error(entry, mistake)
        }
        if let below = ConfigCatalogue.all.first(where: { $0.pattern.isBelow(canonical) }) {
            let mistake = ConfigMistake(
                "one value stands where a map belongs", remedy: "write keys below it, such as \(below.pattern.text)")
            return Self.error(entry, mistake)
        }
        let near = Self.nearest(to: canonical).map { Self.respelled($0, like: entry) }
        let problem = ConfigProblem.unknown(entry.key, at: entry.value.location, near: near)
        guard isStrict else { return problem }
        return ConfigProblem(at: problem.location, key: problem.key, problem.problem, remedy: problem.remedy)
    }

    private static func nearest(to key: String) -> String? {
        Spelling.nearest(to: key, among: ConfigCatalogue.all.lazy.flatMap { $0.pattern.spellings(like: key) })
    }

    /// A suggestion in the spelling that the user writes.
    private static func respelled(_ suggestion: String, like entry: ConfigSource.Entry) -> String {
        guard entry.key.hasPrefix("servicecomb.") else { return suggestion }
        return ConfigAlias.newer(suggestion)
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
