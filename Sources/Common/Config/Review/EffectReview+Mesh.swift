// SPDX-License-Identifier: Apache-2.0

/// The virtual hosts and clusters of `mesh.yaml`.
extension EffectReview {
    mutating func reviewMesh() {
        let hosts = self.tree(self.store.entry("mesh.hosts"))
        for host in hosts?.elements ?? [] { self.reviewOrder(of: host) }
        let hashing = self.hashing
        for cluster in self.tree(self.store.entry("mesh.clusters"))?.elements ?? [] {
            self.reviewInstances(of: cluster)
            guard let place = cluster["balancing"],
                let strategy = place.text.flatMap({ BalancingPolicy.Strategy(rawValue: $0) }), strategy.isHashed,
                let name = cluster["name"]?.text, hashing[name] == false
            else { continue }
            self.warn(
                place.location, "mesh.clusters", "\(strategy.rawValue) has nothing to go by: requests go round robin",
                "write hash: [{header: x-user}] in a route to the cluster")
        }
    }

    private mutating func reviewOrder(of host: ConfigTree) {
        var elements: [RouteOrder.Element] = []
        for (index, route) in (host["routes"]?.elements ?? []).enumerated() {
            let matches = route["match"]?.elements ?? []
            for match in matches {
                elements.append(
                    .init(shape: RouteShape(match), location: match.location, route: index, precedence: 0))
            }
            if matches.isEmpty {
                elements.append(.init(shape: RouteShape(), location: route.location, route: index, precedence: 0))
            }
        }
        for (element, first) in RouteOrder.unreached(elements) {
            // The reader tells of what stands behind a route without a match.
            guard first.shape != RouteShape() || element.route == first.route else { continue }
            let isMatch = element.route == first.route
            self.warn(
                element.location, "mesh.hosts",
                "no request comes to this \(isMatch ? "match" : "route"): the one at \(first.location) \(Self.verb(element, first))",
                isMatch || element.shape == first.shape ? "keep one of them" : "put it in front")
        }
    }

    private mutating func reviewInstances(of cluster: ConfigTree) {
        guard let services = self.services, let place = cluster["service"], let service = place.text else { return }
        guard services.contains(service) else {
            let (problem, remedy) = services.absence(of: service)
            self.warn(place.location, "mesh.clusters", "\(problem): its requests are answered 502", remedy)
            return
        }
        self.reviewTags(cluster["tags"], "mesh.clusters")
        guard let missing = services.missing(RouteRuleReader.tags(cluster["tags"]), of: service) else { return }
        self.warn(
            cluster["tags"]?[missing.tag]?.location ?? cluster.location, "mesh.clusters",
            "\(missing.problem): its requests are answered 502", missing.remedy)
    }

    /// Whether any request that comes to a cluster has a hash, for all that requests come to.
    private var hashing: [String: Bool] {
        let balancing = self.config.governance.balancing
        var hashing: [String: Bool] = [:]
        for (name, host) in self.config.rules.routes.hosts {
            let hasHash = balancing.balancing(for: name).hasHash
            for route in host.routes {
                for target in route.targets {
                    guard let cluster = host.cluster(of: target)?.name else { continue }
                    let isHashed = hasHash || route.action?.hashKeys.isEmpty == false
                    hashing[cluster] = hashing[cluster] == true || isHashed
                }
            }
        }
        return hashing
    }
}

extension BalancingPolicy {
    /// Whether there is something that ``Strategy/ringHash`` goes by.
    var hasHash: Bool {
        switch self.hash {
        case .header(let name), .cookie(let name): !name.isEmpty
        }
    }
}
