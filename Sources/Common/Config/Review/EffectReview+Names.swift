// SPDX-License-Identifier: Apache-2.0

/// Names of services in keys, and names that some clients refuse.
extension EffectReview {
    mutating func reviewNames() {
        guard self.services != nil else { return self.reviewUnderscores() }
        var told: Set<String> = []
        let strangers = self.named().filter { !$0.service.isEmpty && !self.isNamed($0.service) }
        for place in strangers.sorted(by: { Self.isBefore($0.entry, $1.entry) })
        where told.insert(place.service).inserted {
            self.warnOfAbsence(
                of: place.service, place.entry, besides: Array(self.config.rules.routes.hosts.keys))
        }
        self.reviewUnderscores()
    }

    private mutating func reviewUnderscores() {
        if self.config.identity.name.contains("_"), let entry = self.store.entry(ServiceIdentity.Keys.name.name) {
            self.add(.underscore(self.config.identity.name, entry.value, entry.key))
        }
        for host in self.tree(self.store.entry("mesh.hosts"))?.elements ?? [] {
            for domain in host["domains"]?.elements ?? [] where domain.text?.contains("_") == true {
                self.add(.underscore(domain.text ?? "", domain, "mesh.hosts"))
            }
        }
    }

    /// Whether something may be called by this name: a service, a host of `mesh.yaml`, or an external host.
    func isNamed(_ name: String) -> Bool {
        self.isKnown(name) || name == self.config.identity.name || self.config.rules.routes.hosts[name] != nil
            || self.config.rules.externalHosts.rules.contains { $0.pattern == name.lowercased() }
            || self.config.registry.istio.tellsExternalHosts && name.contains(".")
    }

    /// The keys that name a service that is called.
    private mutating func named() -> [ScopedPlace] {
        typealias Balancing = BalancingConfig.Keys
        typealias Resilience = ResilienceConfig.Keys
        let balancing: [ScopedPlaces] = [
            self.places(of: Balancing.strategy), self.places(of: Balancing.hashHeader),
            self.places(of: Balancing.hashCookie), self.places(of: Balancing.sessionTimeout),
            self.places(of: Balancing.sessionFailures), self.places(of: Balancing.retryEnabled),
            self.places(of: Balancing.retryOnNext), self.places(of: Balancing.retryOnSame),
            self.places(of: Balancing.backoffKind), self.places(of: Balancing.backoffMinimum),
            self.places(of: Balancing.backoffMaximum),
        ]
        let resilience: [ScopedPlaces] = [
            self.places(of: Resilience.timeout, .consumer), self.places(of: Resilience.maxConcurrent, .consumer),
            self.places(of: Resilience.enabled, .consumer), self.places(of: Resilience.forceOpen, .consumer),
            self.places(of: Resilience.forceClosed, .consumer), self.places(of: Resilience.sleepWindow, .consumer),
            self.places(of: Resilience.requestVolume, .consumer),
            self.places(of: Resilience.errorPercentage, .consumer),
            self.places(of: Resilience.fallbackEnabled, .consumer),
            self.places(of: Resilience.fallbackForced, .consumer),
            self.places(of: Resilience.fallbackPolicy, .consumer),
        ]
        let limits = self.entries(below: "cse.flowcontrol.Consumer.qps.limit").map {
            ScopedPlace(service: $0.suffix, entry: $0.entry)
        }
        return (balancing + resilience).flatMap(\.all) + limits
    }
}
