// SPDX-License-Identifier: Apache-2.0

/// Reads the virtual hosts and clusters of `mesh.yaml`.
///
/// A key that is not known is an error here, since what it was meant to say would change where requests go.
struct MeshReader {
    private var problems: RuleProblems
    private var clusters: [String: Cluster] = [:]
    private var used: Set<String> = []
    /// Which host has a domain and port.
    private var owners: [String: String] = [:]
    /// The clusters as they were written, by name.
    private var plainClusters: [String: String] = [:]
    /// What `tls.yaml` has for connections to instances.
    private let tags: ConsumerTags

    /// What was read.
    struct Mesh {
        /// By name.
        var hosts: [String: VirtualHost] = [:]
        /// Which requests belong to which host.
        var domains = DomainTable()
    }

    /// The virtual hosts of all sources; none where something is wrong with them.
    ///
    /// - Parameter balancing: What retries of routes have where they say nothing else.
    static func read(_ reader: inout ConfigReader, _ balancing: BalancingConfig) -> Mesh {
        for (path, entry) in reader.store.entries(below: "mesh")
        where !["hosts", "clusters"].contains(where: { path == $0 || path.hasPrefix("\($0).") }) {
            let near = Spelling.nearest(to: path, among: ["hosts", "clusters"])
            reader.note(
                ConfigProblem(
                    at: entry.value.location, key: "mesh.\(path)", "unknown key",
                    remedy: near.map { "did you mean mesh.\($0)?" } ?? "write mesh.hosts and mesh.clusters"))
        }
        let clusters = Self.tree("mesh.clusters", &reader)
        let hosts = Self.tree("mesh.hosts", &reader)
        guard clusters != nil || hosts != nil else { return Mesh() }
        var mesh = MeshReader(problems: RuleProblems("mesh"), tags: ConsumerTags(reader.store))
        mesh.readClusters(clusters)
        let read = mesh.readHosts(hosts, balancing)
        for (name, cluster) in mesh.clusters.sorted(by: { $0.key < $1.key }) where !mesh.used.contains(name) {
            let location = clusters?.elements.first { $0["name"]?.text == name }?.location ?? .init("mesh.yaml")
            mesh.problems.warn(
                location, "no route leads to the cluster \(cluster.name ?? name)",
                remedy: "name it in a target of mesh.hosts, or take it out")
        }
        mesh.problems.problems.forEach { reader.note($0) }
        return mesh.problems.hasErrors ? Mesh() : read
    }

    private static func tree(_ key: String, _ reader: inout ConfigReader) -> ConfigTree? {
        if let (path, entry) = reader.store.entries(below: key).first {
            reader.note(
                ConfigProblem(
                    at: entry.value.location, key: "\(key).\(path)", "a list belongs below \(key)",
                    remedy: "write - before each element"))
        }
        guard let entry = reader.store.entry(key) else { return nil }
        do {
            let tree = try RuleText.read(entry)
            if case .list = tree { return tree }
            reader.note(
                ConfigProblem(
                    at: tree.location, key: key, "a list belongs here", remedy: "write - before each element"))
        } catch {
            reader.note(error)
        }
        return nil
    }

    private init(problems: RuleProblems, tags: ConsumerTags) {
        self.problems = problems
        self.tags = tags
    }

    private mutating func refuse(_ tree: ConfigTree, _ problem: String, _ remedy: String) {
        self.problems.note(tree.location, ConfigMistake(problem, remedy: remedy))
    }

    // MARK: Clusters

    private mutating func readClusters(_ tree: ConfigTree?) {
        for element in tree?.elements ?? [] {
            self.problems.allowOnly(Self.clusterShape, in: element)
            guard let name = element["name"]?.text, !name.isEmpty else {
                self.refuse(element, "the cluster has no name", "write name: cart-v2")
                continue
            }
            guard self.clusters[name] == nil else {
                self.refuse(element, "the cluster \(name) stands here twice", "give each a name of its own")
                continue
            }
            guard let members = self.members(element, name) else { continue }
            var settings = self.settings(element)
            (settings.tls, settings.serverName) = self.tls(element, members)
            settings.localityWeights = self.localityWeights(element["localityWeights"], members)
            self.warnOfIdleShares(element, members, settings)
            let isPlain = settings == ClusterSettings()
            self.plainClusters[name] = element.plain
            self.clusters[name] = Cluster(name: name, members, settings: isPlain ? nil : settings)
        }
    }

    private mutating func members(_ tree: ConfigTree, _ name: String) -> Cluster.Members? {
        switch (tree["service"], tree["endpoints"]) {
        case (let service?, nil):
            let name = self.problems.text(service) ?? ""
            if name.isEmpty { self.refuse(service, "the service has no name", "write service: cart") }
            for tag in self.problems.entries(tree["tags"]) { _ = self.problems.text(tag.value) }
            return .service(name, RouteRuleReader.tags(tree["tags"]))
        case (nil, let endpoints?):
            if let tags = tree["tags"] {
                self.refuse(tags, "endpoints that are written down have no tags", "write service, or leave tags out")
            }
            let isHTTP2 = tree["protocol"]?.text == "http2"
            let entries = endpoints.elements.compactMap { self.entry($0, isHTTP2: isHTTP2) }
            if entries.isEmpty {
                self.refuse(
                    endpoints, "the cluster has no endpoints", "write endpoints: [{address: \"10.0.0.5:8080\"}]")
                return nil
            }
            return .fixed(entries)
        case (.some, .some):
            self.refuse(tree, "the cluster \(name) has both a service and endpoints", "keep one of them")
        case (nil, nil):
            self.refuse(tree, "nothing says where the cluster \(name) is", "write service: cart, or endpoints")
        }
        return nil
    }

    private mutating func entry(_ tree: ConfigTree, isHTTP2: Bool) -> ClusterEntry? {
        if tree.text == nil { self.problems.allowOnly(Self.endpointShape, in: tree) }
        let text = tree["address"]?.text ?? tree.text ?? ""
        let url = "\(isHTTP2 ? "grpc" : "rest")://\(text)"
        guard let endpoint = try? Endpoint(url) else {
            self.refuse(
                tree["address"] ?? tree, "\"\(text)\" is no address with a port", "write one such as 10.0.0.5:8080")
            return nil
        }
        return ClusterEntry(
            endpoint.description, weight: self.number(tree["weight"], 1...1_000_000) ?? 1,
            priority: self.number(tree["priority"], 0...127) ?? 0, isPlain: self.isPlain(tree["tls"]),
            locality: tree["locality"].flatMap { self.locality($0, Self.localityShape) },
            host: self.problems.host(tree["host"]))
    }

    private mutating func locality(_ tree: ConfigTree, _ shape: MapShape) -> Locality? {
        self.problems.allowOnly(shape, in: tree)
        guard tree.isMapOrEmpty else { return nil }
        let parts = ["region", "zone", "subzone"].map { self.problems.text(tree[$0]) ?? "" }
        // A zone of no region, or a part of no zone, would be taken for that of another.
        guard !parts[0].isEmpty, !parts[1].isEmpty || parts[2].isEmpty else {
            self.refuse(tree, "a locality begins with its region", "write {region: north, zone: a}")
            return nil
        }
        return Locality(region: parts[0], zone: parts[1], subzone: parts[2])
    }

    private mutating func localityWeights(_ tree: ConfigTree?, _ members: Cluster.Members) -> [LocalityWeight] {
        guard let tree else { return [] }
        guard case .fixed(let entries) = members else {
            self.refuse(tree, "only endpoints that are written down have localities", "take localityWeights out")
            return []
        }
        let weights = tree.elements.compactMap { element -> LocalityWeight? in
            guard let locality = self.locality(element, Self.localityWeightShape) else { return nil }
            if element["weight"] == nil { self.refuse(element, "the locality has no weight", "write weight: 10") }
            return LocalityWeight(locality, weight: self.number(element["weight"], 0...1_000_000) ?? 0)
        }
        if weights.allSatisfy({ $0.weight == 0 }), !self.problems.hasErrors {
            self.refuse(tree, "all weights of localities are 0", "give one a weight")
        }
        for entry in entries {
            guard let place = entry.locality, weights.contains(where: { place.isWithin($0.locality) }) else {
                self.problems.warn(
                    tree.location, "\(entry.endpoint) is in none of the localities, and gets no requests",
                    remedy: "write its locality in both places")
                continue
            }
        }
        return weights
    }

    private mutating func isPlain(_ tree: ConfigTree?) -> Bool {
        guard let tree else { return false }
        if tree.text == "off" { return true }
        self.refuse(
            tree, "an endpoint can only do without TLS", "write tls: off here, and anything else for the cluster")
        return false
    }

    /// Whether TLS is spoken to a cluster, and what its endpoints are called.
    private mutating func tls(_ cluster: ConfigTree, _ members: Cluster.Members) -> (ClusterTLS?, String?) {
        guard let tree = cluster["tls"] else { return (nil, nil) }
        if tree.text == "off" { return (.off, nil) }
        let isMap = tree.text == nil
        if isMap { self.problems.allowOnly(Self.tlsShape, in: tree) }
        guard isMap || tree.text == "on" else {
            self.refuse(
                tree, "\"\(tree.text ?? "")\" says nothing of TLS", "write off, on or {tag: cart.rest.Consumer}")
            return (nil, nil)
        }
        let name = self.problems.host(tree["serverName"])
        if let tag = self.problems.text(tree["tag"]) {
            if !self.tags.contains(tag) {
                let near = Spelling.nearest(to: tag, among: self.tags.all)
                self.refuse(
                    tree["tag"] ?? tree, "tls.yaml has no tag \"\(tag)\" for connections to instances",
                    near.map { "did you mean \($0)?" } ?? "write a key below it: ssl.far.rest.Consumer.verifyPeer")
            }
            return (.tag(tag), name)
        }
        let protocolName = cluster["protocol"]?.text == "http2" ? "grpc" : "rest"
        var service: String?
        if case .service(let owner, _) = members { service = owner }
        if !self.tags.serve(service, protocolName) {
            self.refuse(
                tree, "tls.yaml does not say how TLS is spoken to it",
                "write {tag: …}, or a key below ssl.\(service ?? "<host>").\(protocolName).Consumer")
        }
        return (.on, name)
    }

    private mutating func settings(_ tree: ConfigTree) -> ClusterSettings {
        var settings = ClusterSettings()
        if let text = tree["balancing"] {
            settings.strategy = text.text.flatMap { BalancingPolicy.Strategy(rawValue: $0) }
            let names = Self.strategies
            if settings.strategy == nil || settings.strategy == .sessionStickiness {
                self.refuse(
                    text, "\"\(text.text ?? "")\" is no way to balance a cluster",
                    Spelling.nearest(to: text.text ?? "", among: names).map { "did you mean \($0)?" }
                        ?? "write one of \(names.joined(separator: ", "))")
            }
        }
        self.readHashing(tree, &settings)
        settings.panicThreshold = self.number(tree["panicThreshold"], 0...100) ?? 0
        settings.connectTimeout = self.duration(tree["connectTimeout"])
        if let tree = tree["connectTimeout"], settings.connectTimeout == .zero {
            self.refuse(tree, "no connection is made in no time", "write one such as 500ms, or take it out")
        }
        if let limits = tree["limits"] {
            self.problems.allowOnly(Self.limitsShape, in: limits)
            settings.maxRequests = self.number(limits["requests"], 0...Int(Int32.max))
            settings.maxRetries = self.number(limits["retries"], 0...Int(Int32.max))
            settings.maxConnections = self.number(limits["connections"], 1...Int(Int32.max))
            settings.maxPending = self.number(limits["pending"], 0...Int(Int32.max))
            if let pending = limits["pending"], limits["connections"] == nil {
                self.problems.warn(
                    pending.location, "pending has no effect: nothing limits the connections",
                    remedy: "write connections as well")
            }
        }
        if let connections = tree["connections"] {
            self.problems.allowOnly(Self.connectionsShape, in: connections)
            settings.life.requests = self.number(connections["requests"], 1...Int(Int32.max))
            settings.life.idle = self.duration(connections["idle"])
            settings.life.streams = self.number(connections["streams"], 1...Int(Int32.max))
            settings.life.age = self.duration(connections["age"])
            if let age = connections["age"], settings.life.age == .zero {
                self.refuse(age, "such a connection takes no request", "write one such as 10m, or take it out")
            }
        }
        settings.port = self.number(tree["port"], 1...65_535).map { UInt16($0) }
        switch self.problems.text(tree["protocol"]) {
        case nil, "http1": break
        case "http2": settings.isHTTP2 = true
        case "client": settings.followsClient = true
        case let name?:
            self.refuse(tree["protocol"] ?? tree, "\"\(name)\" is no protocol", "write http1, http2 or client")
        }
        return settings
    }

    /// How large the tables of hashes are.
    private mutating func readHashing(_ tree: ConfigTree, _ settings: inout ClusterSettings) {
        let usual = ClusterSettings.usualRing
        if let size = tree["ringSize"] {
            self.problems.allowOnly(Self.ringShape, in: size)
            let least = self.number(size["min"], usual) ?? usual.lowerBound
            let most = self.number(size["max"], usual) ?? usual.upperBound
            if least > most { self.refuse(size, "min is more than max", "write {min: \(most), max: \(least)}") }
            settings.ringSize = min(least, most)...most
        }
        if let size = tree["tableSize"] {
            settings.tableSize = self.number(size, Self.tableSizes)
            if let number = settings.tableSize, !number.isPrime {
                self.refuse(size, "\(number) is no prime number", "write one such as 65537, or take it out")
            }
        }
        for (key, strategy) in [("ringSize", BalancingPolicy.Strategy.ringHash), ("tableSize", .maglev)] {
            guard let place = tree[key], let own = settings.strategy, own != strategy else { continue }
            self.problems.warn(
                place.location, "\(key) has no effect: the cluster is balanced by \(own.rawValue)",
                remedy: "write balancing: \(strategy.rawValue), or take it out")
        }
    }

    /// Weights and priorities stand in the place of a strategy that goes by answers of the past alone.
    private mutating func warnOfIdleShares(
        _ tree: ConfigTree, _ members: Cluster.Members, _ settings: ClusterSettings
    ) {
        guard case .fixed(let entries) = members, settings.strategy == .weightedResponse,
            !settings.localityWeights.isEmpty
                || entries.contains(where: {
                    $0.weight != entries[0].weight || $0.priority != entries[0].priority
                        || $0.locality != entries[0].locality
                })
        else { return }
        self.problems.warn(
            tree["balancing"]?.location ?? tree.location,
            "WeightedResponse has no effect: weights, priorities and localities decide", remedy: "keep one of them")
    }

    // MARK: Hosts

    private mutating func readHosts(_ tree: ConfigTree?, _ balancing: BalancingConfig) -> Mesh {
        var mesh = Mesh()
        var domains: [DomainTable.Domain] = []
        for element in tree?.elements ?? [] {
            self.problems.allowOnly(Self.hostShape, in: element)
            guard let name = element["name"]?.text, !name.isEmpty else {
                self.refuse(element, "the host has no name", "write name: shop")
                continue
            }
            guard mesh.hosts[name] == nil else {
                self.refuse(element, "the host \(name) stands here twice", "give each a name of its own")
                continue
            }
            self.readDomains(of: name, element, into: &domains)
            let retry = balancing.retry(for: name)
            var reader = RouteReader(self.problems, self.clusters, retry: retry)
            let routes = reader.routes(element)
            self.problems = reader.problems
            self.used.formUnion(reader.used)
            // What its clusters say is a part of what the host says; what others say is not.
            let plainClusters = reader.used.sorted().compactMap { self.plainClusters[$0] }.joined()
            let hasRetries = routes.contains { $0.route.action?.retry != nil }
            mesh.hosts[name] = VirtualHost(
                routes, unmatched: .notFound, profile: self.profile(element["profile"]),
                plain: "\(element.plain)\(plainClusters)\(hasRetries ? "\(retry)" : "")")
        }
        mesh.domains = DomainTable(domains)
        return mesh
    }

    private mutating func profile(_ tree: ConfigTree?) -> ReplyProfile {
        guard let tree, let text = self.problems.text(tree) else { return .serviceComb }
        if let profile = ReplyProfile(rawValue: text) { return profile }
        let names = ReplyProfile.allCases.map(\.rawValue)
        self.refuse(
            tree, "\"\(text)\" is no profile",
            Spelling.nearest(to: text, among: names).map { "did you mean \($0)?" }
                ?? "write one of \(names.joined(separator: ", "))")
        return .serviceComb
    }

    private mutating func readDomains(
        of name: String, _ host: ConfigTree, into domains: inout [DomainTable.Domain]
    ) {
        let port = self.number(host["port"], 1...65_535).map { UInt16($0) }
        let elements = host["domains"]?.elements ?? [.text(name, host.location)]
        if elements.isEmpty { self.refuse(host, "the host has no domains", "name one, or leave domains out") }
        for element in elements {
            var text = element.text?.lowercased() ?? ""
            // Of the root; requests lose it likewise.
            if text.count > 1, text.hasSuffix(".") { text.removeLast() }
            guard DomainTable.isDomain(text) else {
                self.refuse(
                    element, "\"\(element.text ?? "")\" is no domain",
                    "write a host such as shop.example, *.example, shop.* or *")
                continue
            }
            let domain = DomainTable.Domain(text, port: port, host: name)
            if let owner = self.owners.updateValue(name, forKey: "\(text):\(port ?? 0)") {
                self.refuse(element, "\(text) belongs to the host \(owner)", "name it once")
            }
            domains.append(domain)
        }
    }

    // MARK: Values

    private mutating func number(_ tree: ConfigTree?, _ range: ClosedRange<Int>) -> Int? {
        self.problems.number(tree, range)
    }

    private mutating func duration(_ tree: ConfigTree?) -> Duration? { self.problems.duration(tree) }
}
