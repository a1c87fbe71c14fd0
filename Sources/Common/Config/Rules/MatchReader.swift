// SPDX-License-Identifier: Apache-2.0

/// Reads what rules ask of requests.
struct MatchReader {
    /// The mistakes so far.
    var problems: RuleProblems

    /// The match of a route rule: `source`, `sourceTags`, `headers`, `httpHeaders`.
    mutating func routeMatch(_ tree: ConfigTree) -> RequestMatch {
        // Programs write all keys, and null for what they do not ask.
        let isComplete = Self.routeShape.names.allSatisfy { tree[$0] != nil }
        self.problems.allow(Self.routeShape, in: tree, takesNull: isComplete)
        if let tags = tree["sourceTags"], case .map = tags { self.problems.allow(Self.sourceTags, in: tags) }
        var match = RequestMatch()
        match.source = tree["source"]?.text.flatMap { $0.isEmpty ? nil : $0 }
        for entry in tree["sourceTags"]?.entries ?? [] { match.sourceTags[entry.key] = entry.value.text ?? "" }
        match.headers = self.headers(tree["headers"], isRequired: false)
        match.headers += self.headers(tree["httpHeaders"], isRequired: false)
        return match
    }

    /// An alternative of a policy that marks requests: `headers`, `apiPath`, `queries`, `method`.
    mutating func markMatch(_ tree: ConfigTree) -> RequestMatch {
        var match = RequestMatch()
        guard self.problems.allow(Self.markShape, in: tree) else { return match }
        match.headers = self.headers(tree["headers"], isRequired: true)
        match.paths = tree["apiPath"].map { self.texts($0) } ?? []
        match.queries = tree["queries"].map { self.texts($0) } ?? []
        for method in tree["method"]?.elements ?? [] {
            let name = method.text ?? ""
            if name != name.uppercased() || name.isEmpty {
                self.problems.note(
                    method.location, ConfigMistake("\"\(name)\" is no method", remedy: "write it in upper case: GET"))
            }
            match.methods.append(Array(name.utf8))
        }
        return match
    }

    private mutating func headers(_ tree: ConfigTree?, isRequired: Bool) -> [HeaderMatch] {
        (tree?.entries ?? []).map { HeaderMatch($0.key, self.texts($0.value), isRequired: isRequired) }
    }

    /// The comparisons of one field; never empty.
    mutating func texts(_ tree: ConfigTree) -> [TextMatch] {
        if let text = tree.text {
            let remedy = "write {exact: \"\(text)\"}, or another operator"
            self.problems.note(tree.location, ConfigMistake("a text stands where an operator belongs", remedy: remedy))
            return [.never]
        }
        let ignoresCase = tree["caseInsensitive"]?.text?.lowercased() == "true"
        var texts: [TextMatch] = []
        for entry in tree.entries where entry.key != "caseInsensitive" {
            guard let operand = entry.value.text else {
                let problem = "the operator \(entry.key) has no value"
                self.problems.note(entry.location, ConfigMistake(problem, remedy: "write a text behind it"))
                continue
            }
            texts.append(self.text(entry.key, operand, ignoresCase, entry.value.location))
        }
        if texts.isEmpty {
            let problem = "nothing is asked of it"
            self.problems.note(tree.location, ConfigMistake(problem, remedy: "write an operator: {exact: value}"))
        }
        return texts.isEmpty ? [.never] : texts
    }

    private mutating func text(
        _ name: String, _ operand: String, _ ignoresCase: Bool, _ location: ConfigLocation
    ) -> TextMatch {
        let pattern = TextMatch.Pattern(operand, ignoresCase: ignoresCase)
        switch name {
        case "exact": return .exact(pattern)
        case "noEqu": return .notEqual(pattern)
        case "contains": return .contains(pattern)
        case "prefix": return .prefix(pattern)
        case "suffix": return .suffix(pattern)
        case "regex":
            do {
                // Not by upper-casing the expression, which would make \d mean \D.
                return .regex(try RegularExpression(ignoresCase ? "(?i)\(operand)" : operand))
            } catch {
                self.problems.note(location, error)
                return .never
            }
        case "greater": return self.number(.greater, operand, location)
        case "less": return self.number(.less, operand, location)
        case "noLess": return self.number(.noLess, operand, location)
        case "noGreater": return self.number(.noGreater, operand, location)
        default:
            let known = Self.operators.map(\.name) + ["caseInsensitive"]
            let near = Spelling.nearest(to: name, among: known)
            let remedy = near.map { "did you mean \($0)?" } ?? "write one of \(known.joined(separator: ", "))"
            self.problems.note(location, ConfigMistake("unknown operator \(name)", remedy: remedy))
            return .never
        }
    }

    private mutating func number(
        _ comparison: TextMatch.Comparison, _ operand: String, _ location: ConfigLocation
    ) -> TextMatch {
        guard let number = Int(operand) else {
            self.problems.note(
                location, ConfigMistake("\"\(operand)\" is no whole number", remedy: "write one, such as 10"))
            return .never
        }
        return .number(comparison, number)
    }
}
