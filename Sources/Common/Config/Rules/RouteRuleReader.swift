// SPDX-License-Identifier: Apache-2.0

/// Reads the route rules of all sources: `routeRule.<service>` of files, dark-launch texts, and texts with rules.
///
/// A later source replaces all rules of a service that an earlier one has.
struct RouteRuleReader {
    private let policies: [String: MatchPolicy]
    private let templates: [String: ConfigTree]

    /// The rules for calls of each service.
    ///
    /// - Parameter table: The domains of `mesh.yaml`: requests for one never come to the rules of a service of this name.
    static func read(
        _ reader: inout ConfigReader, policies: [MatchPolicy], besides table: DomainTable
    ) -> [String: VirtualHost] {
        let known = Dictionary(policies.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        let rules = RouteRuleReader(policies: known, templates: Self.templates(reader.store))
        var services: [String: VirtualHost] = [:]
        for (service, entry) in Self.lists("routeRule", &reader) {
            services[service] = rules.routes(entry, &reader)
        }
        for (service, entry) in reader.store.entries(below: "cse.darklaunch.policy") {
            services[service] = DarkLaunch.routes(entry, &reader) ?? services[service]
        }
        for (service, entry) in Self.lists("cse.routeRule", &reader) {
            services[service] = rules.routes(entry, &reader)
        }
        for name in services.keys.sorted()
        where table.domains.contains(where: { $0.pattern == name.lowercased() && $0.port == nil }) {
            reader.note(
                ConfigProblem(
                    .warning, at: services[name]?.routes.first?.location ?? ConfigLocation("router.yaml"),
                    key: "routeRule.\(name)", "has no effect: mesh.yaml has a host for this name",
                    remedy: "keep one of them"))
        }
        return services
    }

    private static let listRemedy = "write a list: - precedence: 1"

    /// The entries `<prefix>.<service>`; a rule that was written without a list is refused, once for all its parts.
    private static func lists(
        _ prefix: String, _ reader: inout ConfigReader
    ) -> [(suffix: String, entry: ConfigSource.Entry)] {
        let entries = reader.store.entries(below: prefix)
        var refused: [String: ConfigSource.Entry] = [:]
        for (path, entry) in entries {
            guard let service = Self.service(ofPart: path), !Self.isRules(entry) else { continue }
            let first = refused[service] ?? entry
            refused[service] = first.value.location < entry.value.location ? first : entry
        }
        for (service, entry) in refused.sorted(by: { $0.key < $1.key }) {
            reader.note(
                ConfigProblem(
                    at: entry.value.location, key: "\(prefix).\(service)",
                    "a map stands where a list of rules belongs", remedy: Self.listRemedy))
        }
        return entries.filter { path, entry in
            !refused.keys.contains { path.hasPrefix("\($0).") } || Self.isRules(entry)
        }
    }

    /// The service whose rule this would be a part of, were it written without a list.
    private static func service(ofPart path: String) -> String? {
        for part in [".precedence", ".match", ".route"] where path.hasSuffix(part) {
            return String(path.dropLast(part.count))
        }
        return path.range(ofFirst: ".match.").map { String(path[..<$0.lowerBound]) }
    }

    private static func isRules(_ entry: ConfigSource.Entry) -> Bool {
        (try? RuleText.read(entry))?.elements.contains { $0["route"] != nil } == true
    }

    /// The matches that rules may refer to, put together again from their leaves.
    static func templates(_ store: ConfigStore) -> [String: ConfigTree] {
        var templates: [String: ConfigTree] = [:]
        for (path, entry) in store.entries(below: "sourceTemplate") {
            let parts = path.split(separator: ".").map(String.init)
            guard let name = parts.first else { continue }
            let old = templates[name] ?? .map([], entry.value.location)
            templates[name] = old.adding(entry.value, at: parts.dropFirst())
        }
        return templates
    }

    private func routes(_ entry: ConfigSource.Entry, _ reader: inout ConfigReader) -> VirtualHost? {
        let tree: ConfigTree
        do {
            tree = try RuleText.read(entry)
        } catch {
            reader.note(error)
            return nil
        }
        var matches = MatchReader(problems: RuleProblems(entry.key))
        var rules: [(route: Route, clusters: [Cluster])] = []
        if case .map = tree {
            matches.problems.note(
                tree.location, ConfigMistake("a map stands where a list of rules belongs", remedy: Self.listRemedy))
            matches.problems.problems.forEach { reader.note($0) }
            return nil
        }
        for element in tree.elements {
            if let rule = self.rule(element, &matches) { rules.append(rule) }
        }
        matches.problems.problems.forEach { reader.note($0) }
        // A list without rules is one, for whoever looks; one that is nothing but mistakes is none.
        guard !rules.isEmpty || tree.elements.isEmpty else { return nil }
        return VirtualHost(rules, plain: "\(tree.plain)\(self.plain(of: rules))")
    }

    /// What rules refer to is a part of what they say.
    private func plain(of rules: [(route: Route, clusters: [Cluster])]) -> String {
        rules.compactMap { rule, _ in rule.reference.flatMap { self.templates[$0]?.plain ?? "\(rule.match)" } }.joined()
    }

    private func rule(
        _ tree: ConfigTree, _ matches: inout MatchReader
    ) -> (route: Route, clusters: [Cluster])? {
        guard matches.problems.allow(Self.ruleShape, in: tree) else { return nil }
        var precedence = 0
        if let text = tree["precedence"]?.text {
            if let number = Int(text) {
                precedence = number
            } else {
                let mistake = ConfigMistake("\"\(text)\" is no precedence", remedy: "write a whole number")
                matches.problems.note(tree["precedence"]?.location ?? tree.location, mistake)
            }
        }
        guard let targets = Self.targets(tree, &matches.problems) else { return nil }
        let (match, reference) = self.match(tree["match"], &matches)
        let rule = Route(
            precedence: precedence, match: match, reference: reference, weights: targets.map(\.weight),
            at: tree.location)
        return (rule, targets.map { Cluster($0.tags) })
    }

    private func match(
        _ tree: ConfigTree?, _ matches: inout MatchReader
    ) -> (match: Route.Match, reference: String?) {
        guard let tree, !tree.entries.isEmpty else { return (.always, nil) }
        guard let name = tree["refer"]?.text, !name.isEmpty else { return (.request(matches.routeMatch(tree)), nil) }
        if let template = self.templates[name] { return (.request(matches.routeMatch(template)), name) }
        if let policy = self.policies[name] { return (.marked(policy), name) }
        let near = Spelling.nearest(to: name, among: Array(self.templates.keys) + self.policies.keys)
        matches.problems.add(
            .undefined(
                matches.problems.key, at: tree["refer"]?.location ?? tree.location,
                "nothing is called \(name): the rule matches nothing",
                remedy: near.map { "did you mean \($0)?" } ?? "define sourceTemplate.\(name)"))
        return (.never, name)
    }

    // MARK: Targets

    /// The shares of a rule; the rest to 100 goes to the newest version.
    static func targets(
        _ tree: ConfigTree, _ problems: inout RuleProblems
    ) -> [(weight: Int, tags: InstanceTags)]? {
        let elements = tree["route"]?.elements ?? []
        guard !elements.isEmpty else {
            problems.note(
                tree.location,
                ConfigMistake("the rule has no route", remedy: "write route: [{tags: {version: 1.0.0}, weight: 100}]"))
            return nil
        }
        var targets: [(weight: Int, tags: InstanceTags)] = []
        for element in elements {
            guard problems.allow(Self.targetShape, in: element) else { continue }
            if let tags = element["tags"] { Self.reviewTags(tags, beside: element, &problems) }
            targets.append((Self.weight(element, isOnly: elements.count == 1, &problems), Self.tags(element["tags"])))
        }
        return Self.complete(targets, at: tree["route"]?.location ?? tree.location, &problems)
    }

    /// Weights that sum up to 100.
    static func complete(
        _ targets: [(weight: Int, tags: InstanceTags)], at location: ConfigLocation, _ problems: inout RuleProblems
    ) -> [(weight: Int, tags: InstanceTags)]? {
        let sum = targets.reduce(0) { $0 + $1.weight }
        guard sum <= 100 else {
            problems.note(
                location,
                ConfigMistake(
                    "total weight is over 100%: it is \(sum)", remedy: "make the weights of a rule sum up to 100"))
            return nil
        }
        if targets.first?.weight == 100 { return [targets[0]] }
        let used = targets.filter { $0.weight > 0 }
        return sum == 100 ? used : used + [(100 - sum, InstanceTags())]
    }

    private static func weight(_ tree: ConfigTree, isOnly: Bool, _ problems: inout RuleProblems) -> Int {
        guard let value = tree["weight"], let text = value.text else { return isOnly ? 100 : 0 }
        guard let weight = Int(text), (0...100).contains(weight) else {
            problems.note(
                value.location, ConfigMistake("\"\(text)\" is no weight", remedy: "write a whole number, 0 to 100"))
            return 0
        }
        return weight
    }

    /// Other names than those of the shape are properties of instances, but for a weight that the target itself lacks.
    private static func reviewTags(_ tags: ConfigTree, beside target: ConfigTree, _ problems: inout RuleProblems) {
        problems.allow(Self.tagsMap, in: tags)
        guard target["weight"] == nil, let weight = tags.entries.first(where: { $0.key == "weight" }) else { return }
        let share = weight.value.text ?? "100"
        problems.note(
            weight.location,
            ConfigMistake(
                "weight belongs beside tags", remedy: "write {tags: {version: 1.0.0}, weight: \(share)}"))
    }

    static func tags(_ tree: ConfigTree?) -> InstanceTags {
        var version = "latest"
        var app: String?
        var properties: [String: String] = [:]
        for entry in tree?.entries ?? [] {
            let value = entry.value.text ?? ""
            switch entry.key {
            case "version": version = value
            case "app": app = value
            default: properties[entry.key] = value
            }
        }
        return InstanceTags(version: version, app: app, properties: properties)
    }
}

extension ConfigTree {
    /// The map with a value at the end of `path`.
    fileprivate func adding(_ value: ConfigTree, at path: ArraySlice<String>) -> ConfigTree {
        guard let first = path.first else { return value }
        var entries = self.entries
        let old = entries.first { $0.key == first }?.value ?? .map([], value.location)
        entries.removeAll { $0.key == first }
        let new = old.adding(value, at: path.dropFirst())
        return .map(entries + [Entry(key: first, location: value.location, value: new)], self.location)
    }
}
