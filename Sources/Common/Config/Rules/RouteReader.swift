// SPDX-License-Identifier: Apache-2.0

/// Reads the routes of a virtual host of `mesh.yaml`.
struct RouteReader {
    var problems: RuleProblems
    /// The clusters that targets have named.
    private(set) var used: Set<String> = []
    private let clusters: [String: Cluster]
    /// That of the host.
    private let retry: RetryPolicy
    /// How often a name was met among the routes that have limits.
    private var limited: [String: Int] = [:]
    /// Of the route that is being read, for each of its matches.
    private var limit: RouteLimit?

    init(_ problems: RuleProblems, _ clusters: [String: Cluster], retry: RetryPolicy) {
        self.problems = problems
        self.clusters = clusters
        self.retry = retry
    }

    mutating func refuse(_ tree: ConfigTree, _ problem: String, _ remedy: String) {
        self.problems.note(tree.location, ConfigMistake(problem, remedy: remedy))
    }

    /// The routes in the order in which they are written; one with several matches stands there once for each.
    mutating func routes(_ host: ConfigTree) -> [(route: Route, clusters: [Cluster])] {
        let elements = host["routes"]?.elements ?? []
        if elements.isEmpty {
            self.refuse(host, "the host has no routes", "write routes: [{targets: [{cluster: cart}]}]")
        }
        var routes: [(route: Route, clusters: [Cluster])] = []
        var hasAll = false
        for element in elements {
            if hasAll {
                self.problems.warn(
                    element.location, "no request comes to this route: the one before takes all",
                    remedy: "put it in front")
            }
            self.limit = self.limit(element)
            let read = self.route(element)
            routes += read
            hasAll = hasAll || read.contains { if case .always = $0.route.match { true } else { false } }
        }
        return routes
    }

    private mutating func route(_ tree: ConfigTree) -> [(route: Route, clusters: [Cluster])] {
        self.problems.allowOnly(Self.routeShape, in: tree)
        let targets = self.targets(tree)
        let mirrors = self.mirrors(tree)
        let matches = tree["match"]?.elements ?? []
        if let match = tree["match"], matches.isEmpty {
            self.refuse(match, "nothing can match an empty list", "write a match, or take the key out: then all do")
        }
        let paths = matches.isEmpty ? [nil] : matches.map { Optional($0) }
        return paths.map { match in
            let action = self.action(tree, match)
            let route = Route(
                match: self.match(match), name: self.problems.text(tree["name"]), weights: targets.map(\.weight),
                action: action, targetActions: targets.map { $0.action(action) }, mirrors: mirrors.map(\.mirror),
                at: (match ?? tree).location)
            return (route, targets.compactMap(\.cluster) + mirrors.map(\.cluster))
        }
    }

    /// A target as it was written.
    private struct Target {
        var weight = 0
        /// `nil` for one that answers.
        var cluster: Cluster?
        var reply: FixedReply?
        var requestEdits: [HeaderEdit] = []
        var responseEdits: [HeaderEdit] = []

        /// What it does in place of its route.
        func action(_ route: RouteAction?) -> RouteAction? {
            guard self.reply != nil || !self.requestEdits.isEmpty || !self.responseEdits.isEmpty else { return nil }
            return (route ?? RouteAction()).with(
                answer: self.reply.map { .reply($0) }, requestEdits: self.requestEdits,
                responseEdits: self.responseEdits)
        }
    }

    private mutating func targets(_ tree: ConfigTree) -> [Target] {
        let elements = tree["targets"]?.elements ?? []
        let answers = ["reply", "redirect"].filter { tree[$0] != nil }
        // A key that is misspelt is enough to say.
        let isRead = tree.entries.allSatisfy { Self.routeShape.names.contains($0.key) }
        if elements.isEmpty, answers.isEmpty, isRead {
            self.refuse(tree, "the route leads nowhere", "write targets: [{cluster: cart}], reply or redirect")
        }
        if answers.count + (elements.isEmpty ? 0 : 1) > 1 {
            self.refuse(tree, "the route has more than one of targets, reply and redirect", "keep one of them")
        }
        var targets: [Target] = []
        for element in elements {
            self.problems.allowOnly(Self.targetShape, in: element)
            var target = Target()
            target.weight = self.problems.number(element["weight"], 0...1_000_000) ?? (elements.count == 1 ? 1 : 0)
            target.requestEdits = self.edits(element["requestHeaders"])
            target.responseEdits = self.edits(element["responseHeaders"])
            if element["weight"] == nil, elements.count > 1 {
                self.refuse(element, "the target has no weight", "write weight: 10; shares are relative to their sum")
            }
            if let reply = element["reply"], element["cluster"] == nil {
                if let edits = element["requestHeaders"] {
                    self.refuse(edits, "requestHeaders has no effect on a target that answers", "take it out")
                }
                target.reply = self.reply(reply)
                if target.weight > 0 { targets.append(target) }
                continue
            }
            if element["reply"] != nil {
                self.refuse(element, "the target has both a cluster and a reply", "keep one of them")
            }
            guard let cluster = self.cluster(element) else { continue }
            target.cluster = cluster
            if target.weight > 0 { targets.append(target) }
        }
        if targets.isEmpty, !elements.isEmpty, !self.problems.hasErrors {
            self.refuse(tree, "all weights of the route are 0", "give a target a weight")
        }
        return targets
    }

    /// The cluster that an element names.
    private mutating func cluster(_ element: ConfigTree) -> Cluster? {
        let name = element["cluster"]?.text ?? ""
        guard let cluster = self.clusters[name] else {
            let near = Spelling.nearest(to: name, among: Array(self.clusters.keys))
            self.refuse(
                element["cluster"] ?? element, "no cluster is called \"\(name)\"",
                near.map { "did you mean \($0)?" } ?? "define it in mesh.clusters")
            return nil
        }
        self.used.insert(name)
        return cluster
    }

    private mutating func mirrors(_ tree: ConfigTree) -> [(mirror: RouteMirror, cluster: Cluster)] {
        guard let mirrors = tree["mirrors"] else { return [] }
        if tree["reply"] != nil || tree["redirect"] != nil {
            self.refuse(mirrors, "mirrors has no effect on a route that answers at once", "take it out")
        }
        return mirrors.elements.compactMap { element in
            self.problems.allowOnly(Self.mirrorShape, in: element)
            let share = self.problems.share(element["percent"]) ?? RouteFault.all
            let keepsHost = self.problems.flag(element["keepHost"]) ?? false
            return self.cluster(element).map { (RouteMirror(share: share, keepsHost: keepsHost), $0) }
        }
    }

    // MARK: Matches

    private mutating func match(_ tree: ConfigTree?) -> Route.Match {
        guard let tree else { return .always }
        self.problems.allowOnly(Self.matchShape, in: tree)
        guard !tree.entries.isEmpty else { return tree.isMapOrEmpty ? .always : .never }
        var match = RequestMatch()
        if let path = tree["path"] { match.paths = [self.path(path)] }
        var reader = MatchReader(problems: self.problems)
        for entry in reader.problems.entries(tree["headers"]) {
            reader.problems.token(entry.key, entry.location, "header name", "write letters, digits and hyphens")
            match.headers.append(HeaderMatch(entry.key, reader.texts(entry.value), isRequired: true))
        }
        for entry in reader.problems.entries(tree["queries"]) {
            match.parameters.append(ParameterMatch(entry.key, reader.texts(entry.value)))
        }
        self.problems = reader.problems
        for method in tree["methods"]?.elements ?? [] {
            let name = method.text ?? ""
            if name != name.uppercased() || name.isEmpty || !name.utf8.allSatisfy(\.isToken) {
                self.refuse(method, "\"\(name)\" is no method", "write it in upper case: GET")
            }
            match.methods.append(Array(name.utf8))
        }
        return .request(match)
    }

    private mutating func path(_ tree: ConfigTree) -> TextMatch {
        self.problems.allowOnly(Self.pathShape, in: tree)
        guard tree.entries.count == 1, let entry = tree.entries.first, let text = entry.value.text else {
            self.refuse(tree, "the path needs one of exact, prefix, below, regex", "write path: {prefix: /items}")
            return .never
        }
        if entry.key != "regex" { _ = self.problems.path(text, entry.value.location) }
        switch entry.key {
        case "exact": return .exact(.init(text))
        case "prefix": return .prefix(.init(text))
        case "below": return .segments(.init(text.hasSuffix("/") ? String(text.dropLast()) : text))
        case "regex":
            do {
                return .regex(try RegularExpression("^(?:\(text))$"))
            } catch {
                self.problems.note(entry.value.location, error)
            }
        default: break
        }
        return .never
    }

    // MARK: Actions

    private mutating func action(_ tree: ConfigTree, _ match: ConfigTree?) -> RouteAction? {
        var limits = RouteLimits()
        if let times = tree["timeouts"] {
            self.problems.allowOnly(Self.timesShape, in: times)
            limits.head = self.problems.duration(times["head"])
            limits.call = self.problems.duration(times["call"])
            limits.idle = self.problems.duration(times["idle"])
            limits.stream = self.streamLimits(times)
        }
        if tree["reply"] != nil || tree["redirect"] != nil {
            for key in ["timeouts", "retry", "rewrite", "requestHeaders", "hash", "cors", "operation"] {
                if let value = tree[key] {
                    self.refuse(value, "\(key) has no effect on a route that answers at once", "take it out")
                }
            }
        }
        var host: String?
        if let rewrite = tree["rewrite"] {
            self.problems.allowOnly(Self.rewriteShape, in: rewrite)
            host = self.problems.host(rewrite["host"])
        }
        let action = RouteAction(
            answer: self.answer(tree, match), limits: limits, retry: self.retry(tree["retry"]),
            requestEdits: self.edits(tree["requestHeaders"]), responseEdits: self.edits(tree["responseHeaders"]),
            rewrite: self.rewrite(tree["rewrite"], match), host: host, hashKeys: self.hashKeys(tree["hash"]),
            limit: self.limit, fault: self.fault(tree["fault"]), extras: self.extras(tree))
        let isNothing =
            action.answer == nil && limits == RouteLimits() && action.retry == nil && action.requestEdits.isEmpty
            && action.responseEdits.isEmpty && action.rewrite == nil && host == nil && action.hashKeys.isEmpty
            && action.limit == nil && action.fault == nil && action.extras.isNothing
        return isNothing ? nil : action
    }

    private mutating func reply(_ tree: ConfigTree) -> FixedReply {
        self.problems.allowOnly(Self.replyShape, in: tree)
        let status = self.problems.number(tree["status"], 200...599) ?? 200
        let body = self.problems.text(tree["body"]) ?? ""
        if !body.isEmpty, [204, 205, 304].contains(status) {
            self.refuse(tree["body"] ?? tree, "answers with the status \(status) have no body", "leave it out")
        }
        return FixedReply(
            status: status, body: body, contentType: self.problems.fieldValue(tree["contentType"]) ?? "text/plain")
    }

    private mutating func limit(_ tree: ConfigTree) -> RouteLimit? {
        guard let rate = self.problems.number(tree["limit"], 1...Int(Int32.max)) else { return nil }
        let name = tree["name"]?.text ?? ""
        self.limited[name, default: 0] += 1
        return RouteLimit(rate: rate, key: "\(name)#\(self.limited[name] ?? 0)")
    }

    private mutating func fault(_ tree: ConfigTree?) -> RouteFault? {
        guard let tree else { return nil }
        self.problems.allowOnly(Self.faultShape, in: tree)
        var fault = RouteFault()
        if let delay = tree["delay"] {
            self.problems.allowOnly(Self.delayShape, in: delay)
            fault.delay = self.problems.duration(delay["time"])
            fault.delayShare = self.problems.share(delay["percent"]) ?? RouteFault.all
            if delay["time"] == nil { self.refuse(delay, "the delay has no time", "write time: 100ms") }
        }
        if let abort = tree["abort"] {
            self.problems.allowOnly(Self.abortShape, in: abort)
            fault.abortStatus = self.problems.number(abort["status"], 200...599)
            fault.abortShare = self.problems.share(abort["percent"]) ?? RouteFault.all
            if abort["status"] == nil { self.refuse(abort, "the abort has no status", "write status: 503") }
        }
        self.narrow(&fault, tree)
        return fault.delay == nil && fault.abortStatus == nil ? nil : fault
    }

    private mutating func answer(_ tree: ConfigTree, _ match: ConfigTree?) -> RouteAction.Answer? {
        if let reply = tree["reply"] { return .reply(self.reply(reply)) }
        guard let redirect = tree["redirect"] else { return nil }
        self.problems.allowOnly(Self.redirectShape, in: redirect)
        let status = self.problems.number(redirect["status"], 300...399) ?? 301
        if ![301, 302, 303, 307, 308].contains(status) {
            self.refuse(redirect["status"] ?? redirect, "\(status) is no redirect", "write 301, 302, 303, 307 or 308")
        }
        if !["scheme", "host", "port", "path", "prefix", "regex"].contains(where: { redirect[$0] != nil }) {
            self.refuse(redirect, "the redirect leads to where it comes from", "write host, path or scheme")
        }
        let host = self.problems.text(redirect["host"])
        if let host, !Self.isRedirectHost(host) {
            self.refuse(redirect["host"] ?? redirect, "\"\(host)\" is no host", "write one such as cart.example")
        }
        let scheme = self.problems.text(redirect["scheme"])
        if let scheme, !["http", "https"].contains(scheme) {
            self.refuse(redirect["scheme"] ?? redirect, "\"\(scheme)\" is no scheme", "write http or https")
        }
        return .redirect(
            Redirect(
                status: status, scheme: scheme, host: host,
                port: self.problems.number(redirect["port"], 1...65_535).map { UInt16($0) },
                rewrite: self.rewrite(redirect, match)))
    }

    /// A name, or an address, of IPv6 in brackets.
    private static func isRedirectHost(_ text: String) -> Bool {
        if text.hasPrefix("["), text.hasSuffix("]") { return (try? Endpoint("rest://\(text):80")) != nil }
        return DomainTable.isDomain(text.lowercased()) && !text.hasPrefix("*") && !text.hasSuffix("*")
    }

    private mutating func rewrite(_ tree: ConfigTree?, _ match: ConfigTree?) -> PathRewrite? {
        if let tree, let regex = tree["regex"] {
            if tree["prefix"] == nil, tree["path"] == nil { return self.pattern(regex) }
            self.refuse(tree, "regex is not all that is to be replaced", "keep one of prefix, path and regex")
            return nil
        }
        switch (self.problems.text(tree?["prefix"]), self.problems.text(tree?["path"])) {
        case (nil, nil): return nil
        case (nil, let path?):
            return self.problems.path(path, tree?["path"]?.location ?? .init("")).map { .whole(Array($0.utf8)) }
        case (let prefix?, nil):
            if !prefix.isEmpty { _ = self.problems.path(prefix, tree?["prefix"]?.location ?? .init("")) }
            let path = match?["path"]
            guard let matched = path?["prefix"]?.text ?? path?["below"]?.text ?? path?["exact"]?.text else {
                self.refuse(
                    tree?["prefix"] ?? .null(.init("")), "there is no prefix to replace",
                    "match by path: {prefix: /items}, or write path in place of prefix")
                return nil
            }
            let isBelow = path?["below"] != nil
            let length = isBelow && matched.hasSuffix("/") ? matched.utf8.count - 1 : matched.utf8.count
            return .prefix(length: length, replacement: Array(prefix.utf8))
        case (.some, .some):
            if let tree { self.refuse(tree, "both prefix and path are to be replaced", "keep one of them") }
            return nil
        }
    }

    private mutating func retry(_ tree: ConfigTree?) -> RouteRetry? {
        guard let tree else { return nil }
        self.problems.allowOnly(Self.retryShape, in: tree)
        var policy = self.retry
        (policy.onSame, policy.isFailover) = (0, false)
        policy.onNext = self.problems.number(tree["attempts"], 0...100) ?? 1
        policy.includesNonIdempotent = self.problems.flag(tree["nonIdempotent"]) ?? policy.includesNonIdempotent
        policy.budgetPercent = self.problems.number(tree["budgetPercent"], 0...1000) ?? policy.budgetPercent
        let statuses = (tree["statuses"]?.elements ?? []).compactMap { self.problems.number($0, 400...599) }
        return RouteRetry(policy, statuses: Set(statuses))
    }

    private mutating func edits(_ tree: ConfigTree?) -> [HeaderEdit] {
        guard let tree else { return [] }
        self.problems.allowOnly(Self.editsShape, in: tree)
        var edits = (tree["remove"]?.elements ?? []).map { (HeaderEdit.remove($0.text ?? ""), $0) }
        for entry in self.problems.entries(tree["set"]) {
            edits.append((.set(entry.key, self.problems.fieldValue(entry.value) ?? ""), entry.value))
        }
        for entry in self.problems.entries(tree["add"]) {
            edits.append((.add(entry.key, self.problems.fieldValue(entry.value) ?? ""), entry.value))
        }
        for entry in self.problems.entries(tree["fill"]) {
            if let edit = self.filled(entry) { edits.append((edit, entry.value)) }
        }
        for (edit, place) in edits {
            self.problems.token(edit.name, place.location, "header name", "write letters, digits and hyphens")
            if edit.isForbidden {
                self.refuse(
                    place, "\(edit.name) cannot be changed here",
                    edit.name.lowercased() == "host" ? "write rewrite: {host: …}" : "leave it to the protocol")
            }
        }
        return edits.map(\.0)
    }

    private mutating func hashKeys(_ tree: ConfigTree?) -> [HashKey] {
        (tree?.elements ?? []).compactMap { element in
            self.problems.allowOnly(Self.hashShape, in: element)
            let kinds = element.entries.filter { Self.hashKinds.contains($0.key) }
            guard kinds.count == 1, let kind = kinds.first, let text = kind.value.text, !text.isEmpty,
                let part = Self.part(kind.key, text)
            else {
                self.refuse(
                    element, "this is no hash key", "write {header: x-user}, {cookie: …}, {query: …} or {source: true}")
                return nil
            }
            let isLast = self.problems.flag(element["terminal"]) ?? true
            return HashKey(part, isLast: isLast, newCookie: self.newCookie(element))
        }
    }

    private static func part(_ kind: String, _ text: String) -> HashKey.Part? {
        switch kind {
        case "header": .header(Array(text.lowercased().utf8))
        case "cookie": .cookie(Array(text.utf8))
        case "query": .query(Array(text.utf8))
        default: text == "true" ? .source : nil
        }
    }

    /// The cookie that clients without it are given.
    private mutating func newCookie(_ tree: ConfigTree) -> NewCookie? {
        guard let cookie = tree["cookie"], let ttl = tree["ttl"] else {
            for key in ["ttl", "path"] {
                if let value = tree[key] {
                    self.refuse(
                        value, "\(key) belongs to a cookie that clients are given", "write {cookie: …, ttl: 1h}")
                }
            }
            return nil
        }
        let name = self.problems.text(cookie) ?? ""
        self.problems.token(name, cookie.location, "cookie name", "write letters, digits and hyphens")
        var path = ""
        if let text = self.problems.text(tree["path"]) {
            path = self.problems.path(text, tree["path"]?.location ?? tree.location) ?? ""
            if path.contains(";") { self.refuse(tree, "the path of a cookie has no semicolon", "write another one") }
        }
        return NewCookie(name, lifetime: self.problems.duration(ttl) ?? .zero, path: path)
    }
}
