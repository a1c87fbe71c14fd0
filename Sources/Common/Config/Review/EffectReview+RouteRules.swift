// SPDX-License-Identifier: Apache-2.0

/// The route rules of ServiceComb.
extension EffectReview {
    mutating func reviewRouteRules() {
        let local = self.store.local
        let templates = RouteRuleReader.templates(self.store)
        var referred: Set<String> = []
        for (prefix, others) in [
            ("routeRule", ["cse.darklaunch.policy", "cse.routeRule"]), ("cse.routeRule", []),
        ] {
            for (service, entry) in self.entries(below: prefix) {
                guard let tree = self.tree(entry) else { continue }
                referred.formUnion(tree.elements.compactMap { $0["match"]?["refer"]?.text })
                if let other = others.lazy.compactMap({ local.entry("\($0).\(service)") }).first,
                    local.entry("\(prefix).\(service)") != nil, self.tree(other)?.elements.isEmpty == false
                {
                    self.warn(
                        entry, "has no effect: \(other.key) at \(other.value.location) replaces it", "keep one of them")
                    continue
                }
                if !self.isKnown(service) { self.warnOfAbsence(of: service, entry) }
                for rule in tree.elements { self.reviewMatch(rule["match"], entry.key) }
                self.reviewOrder(tree, entry.key, templates)
                for rule in tree.elements { self.reviewTargets(rule["route"], entry.key, service) }
            }
        }
        let missing = referred.filter { templates[$0] == nil }
        let leaves = Dictionary(
            self.entries(below: "sourceTemplate").map { (String($0.suffix.prefix { $0 != "." }), $0.entry) }
        ) { first, _ in first }
        for name in templates.keys.sorted() where !referred.contains(name) {
            let near = Spelling.nearest(to: name, among: missing)
            self.warn(
                leaves[name]?.value.location ?? ConfigLocation("router.yaml"), "sourceTemplate.\(name)",
                "has no effect: no rule refers to it",
                near.map { "call it \($0), as a rule does" } ?? "write match: {refer: \(name)} in a rule")
        }
    }

    /// Dark launches say of versions what rules say, in another language.
    mutating func reviewDarkLaunches() {
        for (service, entry) in self.entries(below: "cse.darklaunch.policy") {
            guard self.isKnown(service) else {
                self.warnOfAbsence(of: service, entry)
                continue
            }
            // Where a list of rules has taken the place of it, its clusters are not these.
            guard self.store.entry("cse.routeRule.\(service)") == nil,
                let host = self.config.rules.routes[service]
            else { continue }
            for route in host.routes {
                for target in route.targets {
                    guard let cluster = host.cluster(of: target),
                        let missing = self.services?.missing(cluster.tags, of: service)
                    else {
                        continue
                    }
                    self.warn(
                        route.location, entry.key, "\(missing.problem): its share is answered 502", missing.remedy)
                }
            }
        }
    }

    /// Whether there may be a service of this name.
    func isKnown(_ service: String) -> Bool {
        guard let services = self.services, !services.contains(service) else { return true }
        // A host of mesh.yaml may have the name.
        return self.config.rules.routes.domains.domains.contains { $0.pattern == service.lowercased() }
    }

    mutating func warnOfAbsence(of service: String, _ entry: ConfigSource.Entry, besides others: [String] = []) {
        guard let (problem, remedy) = self.services?.absence(of: service, besides: others) else { return }
        self.warn(entry, "has no effect: \(problem)", remedy)
    }

    // MARK: Matches

    private mutating func reviewMatch(_ match: ConfigTree?, _ key: String) {
        guard let match else { return }
        if let name = match["refer"]?.text, !name.isEmpty {
            for entry in match.entries where entry.key != "refer" {
                self.warn(
                    entry.location, key, "\(entry.key) has no effect beside refer",
                    "write it into sourceTemplate.\(name)")
            }
        } else if let place = match["source"], let source = place.text, !source.isEmpty {
            // Callers need not be in the registry file: only what is nearly a name is a slip.
            let own = self.config.identity.name
            guard let services = self.services, source != own, !services.contains(source),
                let near = services.name(like: source, besides: [own])
            else { return }
            self.warn(place.location, key, "no service is called \(source)", "did you mean \(near)?")
        }
    }

    // MARK: Order

    private mutating func reviewOrder(_ tree: ConfigTree, _ key: String, _ templates: [String: ConfigTree]) {
        let elements = tree.elements.enumerated().compactMap { index, rule -> RouteOrder.Element? in
            guard let shape = self.shape(rule["match"], templates) else { return nil }
            return .init(
                shape: shape, location: rule.location, route: index,
                precedence: rule["precedence"]?.text.flatMap { Int($0) } ?? 0)
        }.sorted { ($1.precedence, $0.route) < ($0.precedence, $1.route) }
        for (element, first) in RouteOrder.unreached(elements) {
            let place = "the one at \(first.location), with precedence \(first.precedence)"
            let remedy =
                element.shape == first.shape
                ? "keep one of them"
                : element.precedence == first.precedence
                    ? "put it in front, or give it a higher precedence"
                    : "give it a precedence above \(first.precedence)"
            self.warn(
                element.location, key, "no request comes to this rule: \(place), \(Self.verb(element, first))", remedy)
        }
    }

    static func verb(_ element: RouteOrder.Element, _ first: RouteOrder.Element) -> String {
        if first.shape.takesAll { return "takes all" }
        return element.shape == first.shape ? "asks for the same" : "takes all that this one asks for"
    }

    /// - Returns: `nil` where the rule matches nothing, which its reader tells.
    private func shape(_ match: ConfigTree?, _ templates: [String: ConfigTree]) -> RouteShape? {
        guard let match, !match.entries.isEmpty else { return RouteShape() }
        guard let name = match["refer"]?.text, !name.isEmpty else { return RouteShape(match) }
        if let template = templates[name] { return RouteShape(template) }
        return self.config.rules.policies.contains { $0.name == name } ? RouteShape(marked: name) : nil
    }

    // MARK: Targets

    private mutating func reviewTargets(_ route: ConfigTree?, _ key: String, _ service: String) {
        guard let route, case let targets = route.elements, !targets.isEmpty else { return }
        let weights = targets.map { $0["weight"]?.text.flatMap { Int($0) } }
        let sum = targets.count == 1 ? weights[0] ?? 100 : weights.reduce(0) { $0 + ($1 ?? 0) }
        if sum == 0 {
            self.warn(
                route.location, key, "no target has a weight: all requests go to the newest version",
                "write weights that add up to 100")
        } else {
            for (target, weight) in zip(targets, weights) where weight == nil && targets.count > 1 {
                self.warn(target.location, key, "the target has no weight: no request goes there", "write weight: 10")
            }
            if sum < 100 {
                self.warn(
                    route.location, key,
                    "the weights add up to \(sum): the other \(100 - sum) % go to the newest version",
                    "make them add up to 100, or write {tags: {version: latest}, weight: \(100 - sum)}")
            }
        }
        for (target, weight) in zip(targets, weights) {
            self.reviewTags(target["tags"], key)
            // A target with 100 in front takes what others would have got.
            guard weight != 0, weight != nil || targets.count == 1 else { continue }
            let tags = RouteRuleReader.tags(target["tags"])
            guard let missing = self.services?.missing(tags, of: service) else { continue }
            self.warn(
                target["tags"]?[missing.tag]?.location ?? target.location, key,
                "\(missing.problem): \(sum == 0 ? 100 : weight ?? 100) % of the requests of the rule are answered 502",
                missing.remedy)
        }
    }

    /// A misspelt version would be a property, which no instance has.
    mutating func reviewTags(_ tags: ConfigTree?, _ key: String) {
        for tag in tags?.entries ?? [] where tag.key != "version" {
            guard tags?["version"] == nil, Spelling.nearest(to: tag.key, among: ["version"]) != nil else { continue }
            self.warn(
                tag.location, key, "the tag \(tag.key) is a property of instances, no version", "did you mean version?")
        }
    }
}
