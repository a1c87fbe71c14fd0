// SPDX-License-Identifier: Apache-2.0

/// Balancing.
extension EffectReview {
    private typealias Keys = BalancingConfig.Keys

    mutating func reviewBalancing() {
        let balancing = self.config.governance.balancing
        let headers = self.places(of: Keys.hashHeader)
        let cookies = self.places(of: Keys.hashCookie)
        let strategies = self.places(of: Keys.strategy)
        // A route of mesh.yaml may say what hashes are taken of.
        let hosts = self.config.rules.routes.hosts.filter { _, host in
            host.routes.contains { $0.action?.hashKeys.isEmpty == false }
        }
        for place in strategies.all {
            let strategy = BalancingPolicy.Strategy.allCases.first {
                $0.rawValue.lowercased() == place.entry.value.text?.lowercased()
            }
            guard let strategy, strategy.isHashed else { continue }
            let isForSome = place.service.isEmpty && !(headers.isEmpty && cookies.isEmpty && hosts.isEmpty)
            guard !balancing.balancing(for: place.service).hasHash, !isForSome, hosts[place.service] == nil else {
                continue
            }
            self.warn(
                place.entry, "\(strategy.rawValue) has nothing to go by: requests go round robin",
                "write cse.loadbalance.RingHash.header: x-user, or RingHash.cookie")
        }
        for header in headers.all where cookies[header.service] != nil {
            self.warn(
                header.entry, "has no effect: the cookie counts", "keep one of RingHash.header and RingHash.cookie")
        }
        self.reviewIdle(headers.all + cookies.all, [.ringHash, .maglev], strategies)
        let sessions = self.places(of: Keys.sessionTimeout).all + self.places(of: Keys.sessionFailures).all
        self.reviewIdle(sessions, [.sessionStickiness], strategies)
        self.reviewZones()
    }

    /// Settings of strategies of which nobody has chosen any.
    private mutating func reviewIdle(
        _ places: [ScopedPlace], _ users: [BalancingPolicy.Strategy], _ strategies: ScopedPlaces
    ) {
        guard !places.isEmpty, let first = users.first else { return }
        let balancing = self.config.governance.balancing
        let clusters = self.config.rules.routes.hosts.values.lazy.flatMap(\.clusters)
        guard !clusters.contains(where: { $0.settings?.strategy.map { users.contains($0) } ?? false }) else { return }
        let isUsedBySome = (strategies.all.map(\.service) + [""]).contains {
            users.contains(balancing.balancing(for: $0).strategy)
        }
        for place in places {
            let own = balancing.balancing(for: place.service).strategy
            guard !users.contains(own), !(place.service.isEmpty && isUsedBySome) else { continue }
            let name = place.service.isEmpty ? "" : ".\(place.service)"
            self.warn(
                place.entry, "has no effect: the strategy is \(own.rawValue)",
                "write cse.loadbalance\(name).strategy.name: \(first.rawValue)")
        }
    }

    private mutating func reviewZones() {
        guard let entry = self.store.entry(Keys.filters.name),
            self.config.governance.balancing.balancing(for: "").isZoneAware
        else { return }
        if !self.config.governance.region.isKnown {
            self.warn(
                entry, "zoneaware has no effect: where this instance runs is not written",
                "write region.name and region.availableZone")
        } else if self.services?.hasRegions == false {
            self.warn(
                entry, "zoneaware has no effect: no instance of the registry file has a region",
                "write region and zone for the instances")
        }
    }
}
