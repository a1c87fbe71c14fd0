// SPDX-License-Identifier: Apache-2.0

/// What is configured for a handler that no chain has, or for a breaker that is off.
extension EffectReview {
    mutating func reviewHandlers() {
        let chains = self.config.governance.chains
        let calls = chains.outgoing + chains.egress
        let all = calls + chains.incoming
        let rules = ["routeRule", "cse.routeRule", "cse.darklaunch.policy"].flatMap {
            self.entries(below: $0).map(\.entry)
        }
        self.require("router", in: chains.outgoing, ChainConfig.Keys.outgoing, rules)
        let faults = self.entries(below: "cse.governance.Consumer").filter {
            $0.suffix.range(ofFirst: ".policy.fault.protocols.rest.") != nil
        }
        self.require("fault-inject", in: chains.outgoing, ChainConfig.Keys.outgoing, faults.map(\.entry))
        let limits = self.entries(below: "cse.rateLimiting").map(\.entry)
        self.require("rate-limiter", in: all, ChainConfig.Keys.incoming, limits)
        let marks = self.config.rules.policies.filter { $0.alternatives.contains { $0.isPassedOn } }
        self.require(
            "traffic-marker", in: all, ChainConfig.Keys.outgoing,
            marks.compactMap { self.store.entry("cse.match.\($0.name)") })
        let spans = ["tracing-consumer", "tracing-provider"]
        if self.config.tracing != nil, !spans.contains(where: all.contains) {
            let keys = self.entries(below: "tracing").filter {
                ConfigCatalogue.key("tracing.\($0.suffix)")?.state == .active
            }
            self.require(spans[0], in: calls, ChainConfig.Keys.outgoing, keys.map(\.entry))
        }
        if self.config.logs.access != nil, let entry = self.store.entry(LogConfig.Keys.accessFile.name) {
            self.require("access-log", in: all, ChainConfig.Keys.outgoing, [entry])
        }
        for side in CallSide.allCases { self.reviewSide(side, side == .consumer ? chains.outgoing : chains.incoming) }
    }

    private mutating func reviewSide(_ side: CallSide, _ chain: [String]) {
        let key = side == .consumer ? ChainConfig.Keys.outgoing : ChainConfig.Keys.incoming
        let suffix = side.rawValue.lowercased()
        let limits = self.entries(below: "cse.flowcontrol.\(side.rawValue).qps").filter { $0.suffix != "enabled" }
        let rates = self.config.governance.rateLimits
        if side == .consumer ? rates.isConsumerEnabled : rates.isProviderEnabled {
            self.require("ratelimiter-\(suffix)", in: chain, key, limits.map(\.entry))
        }
        let enabled = self.places(of: ResilienceConfig.Keys.enabled, side)
        let active = enabled.all.filter { $0.entry.value.text?.lowercased() == "true" }.map(\.entry)
        let bulkheads =
            self.places(of: ResilienceConfig.Keys.maxConcurrent, side).all
            + self.places(of: ResilienceConfig.Keys.fallbackPolicy, side).all
            + self.places(of: ResilienceConfig.Keys.fallbackForced, side).all.filter {
                $0.entry.value.text?.lowercased() == "true"
            }
        self.require("bizkeeper-\(suffix)", in: chain, key, active + bulkheads.map(\.entry))
        let settings = [
            self.places(of: ResilienceConfig.Keys.forceOpen, side).all,
            self.places(of: ResilienceConfig.Keys.sleepWindow, side).all,
            self.places(of: ResilienceConfig.Keys.requestVolume, side).all,
            self.places(of: ResilienceConfig.Keys.errorPercentage, side).all,
        ].flatMap(\.self)
        let idle = settings.filter { enabled.text(for: $0.service) == nil && !($0.service.isEmpty && !active.isEmpty) }
        if let first = idle.map(\.entry).min(by: Self.isBefore) {
            self.note(
                first, "has no effect: the circuit breaker is off",
                "write cse.circuitBreaker.\(side.rawValue).enabled: true")
        }
        for place in self.places(of: ResilienceConfig.Keys.maxConcurrent, side).all
        where place.entry.value.text.flatMap({ Int($0) }).map({ $0 > ResilienceConfig.mostConcurrent }) == true {
            let most = ResilienceConfig.mostConcurrent
            self.warn(place.entry, "\(most) requests at a time are the most: more are refused", "write \(most)")
        }
    }

    /// - Parameter entries: What has no effect without the handler.
    private mutating func require(
        _ handler: String, in chain: [String], _ key: ConfigKey<[String]>, _ entries: [ConfigSource.Entry]
    ) {
        guard !chain.contains(handler), let first = entries.min(by: Self.isBefore) else { return }
        let chains = self.config.governance.chains
        let isElsewhere = (chains.outgoing + chains.egress + chains.incoming).contains(handler)
        self.warn(
            first, "has no effect: \(isElsewhere ? "the chain lacks" : "no chain has") the handler \(handler)",
            "write \(handler) into \(key.name)")
    }
}
