// SPDX-License-Identifier: Apache-2.0

/// Reads the policies that mark requests, and the limits of marked ones.
enum MatchPolicyReader {
    /// The policies `cse.match.<name>`, by name.
    static func policies(_ reader: inout ConfigReader) -> [MatchPolicy] {
        var policies: [MatchPolicy] = []
        for (name, entry) in reader.store.entries(below: "cse.match") {
            if Self.isMap(name, entry, &reader) { continue }
            do {
                let tree = try RuleText.read(entry)
                var matches = MatchReader(problems: RuleProblems(entry.key))
                let isRight = matches.problems.allow(Self.policyShape, in: tree)
                let alternatives = (isRight ? tree["matches"]?.elements ?? [] : []).map { element in
                    MatchPolicy.Alternative(
                        matches.markMatch(element),
                        isPassedOn: element["trafficMarkPolicy"]?.text?.lowercased() == "once")
                }
                if alternatives.isEmpty, !matches.problems.hasErrors {
                    let mistake = ConfigMistake(
                        "the policy describes no request", remedy: "write matches: [{apiPath: {contains: /reports}}]")
                    matches.problems.note(tree.location, mistake)
                }
                matches.problems.problems.forEach { reader.note($0) }
                policies.append(MatchPolicy(name, alternatives, at: entry.value.location))
            } catch {
                reader.note(error)
            }
        }
        return policies
    }

    /// The limits `cse.rateLimiting.<policy>`, by the name of the policy; one for each mark.
    static func limits(_ reader: inout ConfigReader) -> [RateLimitPolicy] {
        var limits: [RateLimitPolicy] = []
        for (name, entry) in reader.store.entries(below: "cse.rateLimiting") {
            if Self.isMap(name, entry, &reader) { continue }
            do {
                let tree = try RuleText.read(entry)
                var problems = RuleProblems(entry.key)
                if let limit = Self.limit(name, tree, &problems) {
                    if let first = limits.first(where: { $0.match == limit.match }) {
                        problems.warn(
                            tree.location, "\(first.name) limits \(limit.match) already: this has no effect",
                            remedy: "keep one of them")
                    } else {
                        limits.append(limit)
                    }
                }
                problems.problems.forEach { reader.note($0) }
            } catch {
                reader.note(error)
            }
        }
        return limits
    }

    /// Policies are texts, as the original has them, with names without dots; what is written as a map is told.
    private static func isMap(_ name: String, _ entry: ConfigSource.Entry, _ reader: inout ConfigReader) -> Bool {
        guard let dot = name.firstIndex(of: ".") else { return false }
        reader.note(
            ConfigProblem(
                .warning, at: entry.value.location, key: entry.key,
                "has no effect: a policy is one text, and its name has no dot",
                remedy: "write | behind \(name[..<dot]):"))
        return true
    }

    private static func limit(
        _ name: String, _ tree: ConfigTree, _ problems: inout RuleProblems
    ) -> RateLimitPolicy? {
        guard problems.allow(Self.limitShape, in: tree) else { return nil }
        guard let match = tree["match"]?.text, !match.isEmpty else {
            problems.warn(
                tree.location, "without match the limit has no effect",
                remedy: "write {match: name, rate: 20, burst: 5}")
            return nil
        }
        guard let rate = tree["rate"]?.text.flatMap({ Int($0) }) else {
            problems.note(tree.location, ConfigMistake("the limit has no rate", remedy: "write rate: 20"))
            return nil
        }
        guard let text = tree["burst"]?.text else { return RateLimitPolicy(name, match: match, rate: rate, burst: nil) }
        guard let burst = Int(text), burst > 0 else {
            problems.note(tree.location, ConfigMistake("\"\(text)\" is no burst", remedy: "write a number above 0"))
            return nil
        }
        return RateLimitPolicy(name, match: match, rate: rate, burst: burst)
    }
}
