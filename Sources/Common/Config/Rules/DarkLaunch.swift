// SPDX-License-Identifier: Apache-2.0

/// Reads route rules in the older language of dark launches: JSON with `policyType` and `ruleItems`.
///
/// - Source: `cse.darklaunch.policy.<service>` of go-chassis.
enum DarkLaunch {
    /// In the order in which a condition is searched for them: longer ones first.
    private static let operators: [(text: String, name: String)] = [
        ("!=", "noEqu"), (">=", "noLess"), ("<=", "noGreater"), ("=", "exact"), (">", "greater"), ("<", "less"),
        ("~", "regex"),
    ]

    /// The rules of an entry; `nil` when it says nothing that can be used.
    static func routes(_ entry: ConfigSource.Entry, _ reader: inout ConfigReader) -> VirtualHost? {
        let tree: ConfigTree
        do {
            tree = try RuleText.read(entry)
        } catch {
            reader.note(error)
            return nil
        }
        var matches = MatchReader(problems: RuleProblems(entry.key))
        let items = tree["ruleItems"]?.elements ?? []
        let rules: [(route: Route, clusters: [Cluster])]
        switch tree["policyType"]?.text {
        case "RATE": rules = Self.rate(items, tree.location, &matches.problems).map { [$0] } ?? []
        case "RULE": rules = items.compactMap { Self.rule($0, &matches) }
        case let type:
            rules = []
            matches.problems.note(
                tree.location,
                ConfigMistake("\"\(type ?? "")\" is no policyType", remedy: "write RATE or RULE"))
        }
        matches.problems.problems.forEach { reader.note($0) }
        return rules.isEmpty ? nil : VirtualHost(rules, plain: tree.plain)
    }

    /// One rule for all requests, whose weights are the conditions of the items.
    private static func rate(
        _ items: [ConfigTree], _ location: ConfigLocation, _ problems: inout RuleProblems
    ) -> (route: Route, clusters: [Cluster])? {
        var targets: [(weight: Int, tags: InstanceTags)] = []
        for item in items {
            let text = item["policyCondition"]?.text ?? ""
            guard let weight = Int(text), (0...100).contains(weight) else {
                problems.note(
                    item.location, ConfigMistake("\"\(text)\" is no weight", remedy: "write policyCondition: \"10\""))
                continue
            }
            targets += Self.split(weight, over: Self.versions(item))
        }
        guard !targets.isEmpty, let complete = RouteRuleReader.complete(targets, at: location, &problems) else {
            return nil
        }
        return (
            Route(precedence: 1, match: .always, weights: complete.map(\.weight), at: location),
            complete.map { Cluster($0.tags) }
        )
    }

    private static func rule(
        _ item: ConfigTree, _ matches: inout MatchReader
    ) -> (route: Route, clusters: [Cluster])? {
        let condition = item["policyCondition"]?.text ?? ""
        let ignoresCase = item["caseInsensitive"]?.text?.lowercased() == "true"
        guard let (text, name) = Self.operators.first(where: { condition.range(ofFirst: $0.text) != nil }),
            let place = condition.range(ofFirst: text)
        else {
            matches.problems.warn(
                item.location, "\"\(condition)\" is no condition: the item has no effect",
                remedy: "write header, operator and value, such as user_id~^9")
            return nil
        }
        let header = String(condition[..<place.lowerBound])
        let value = String(condition[place.upperBound...])
        guard !header.isEmpty, value.range(ofFirst: text) == nil else {
            matches.problems.warn(
                item.location, "\"\(condition)\" has more than two parts: the item has no effect",
                remedy: "write one operator only")
            return nil
        }
        let location = item["policyCondition"]?.location ?? item.location
        let modifier = ConfigTree.Entry(
            key: "caseInsensitive", location: location, value: .text(ignoresCase ? "true" : "false", location))
        let comparison = ConfigTree.Entry(key: name, location: location, value: .text(value, location))
        var match = RequestMatch()
        match.headers = [
            HeaderMatch(header, or: Self.canonical(header), matches.texts(.map([comparison, modifier], location)))
        ]
        let targets = Self.split(100, over: Self.versions(item))
        guard let complete = RouteRuleReader.complete(targets, at: item.location, &matches.problems) else { return nil }
        let rule = Route(
            precedence: 1, match: .request(match), weights: complete.map(\.weight), at: item.location)
        return (rule, complete.map { Cluster($0.tags) })
    }

    /// The versions of `version=a,b`.
    private static func versions(_ item: ConfigTree) -> [String] {
        let condition = item["groupCondition"]?.text ?? item["versions"]?.joinedTexts.map { "version=\($0)" } ?? ""
        guard condition.hasPrefix("version=") else { return [] }
        return condition.dropFirst("version=".count).split(separator: ",").map { $0.filter { !$0.isWhitespace } }
    }

    /// A weight divided evenly; what does not divide goes to the newest version, as all that is missing to 100.
    private static func split(_ weight: Int, over versions: [String]) -> [(weight: Int, tags: InstanceTags)] {
        versions.map { (weight / versions.count, InstanceTags(version: $0)) }
    }

    /// How the original spells a header: `user_id` is `UserId`.
    private static func canonical(_ header: String) -> String {
        header.split(separator: "_").map { $0.prefix(1).uppercased() + $0.dropFirst() }.joined()
    }
}
