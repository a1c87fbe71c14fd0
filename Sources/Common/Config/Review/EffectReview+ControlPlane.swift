// SPDX-License-Identifier: Apache-2.0

/// What Istio says in place of these files.
extension EffectReview {
    mutating func reviewControlPlane() {
        let registry = self.config.registry
        if !registry.hasIstioRoutes, let entry = self.store.entry(RegistryConfig.Keys.routerAddress.name) {
            self.warn(
                entry, "has no effect: no routes come from Istio",
                "write \(RegistryConfig.Keys.infra.name): istio, or leave it out")
        }
        self.reviewExternalHosts()
        guard registry.hasIstioRoutes else { return }
        var keys = ["routeRule", "cse.routeRule", "cse.darklaunch.policy"]
        // Those of services that another registry has count.
        if registry.kinds == [.istio], registry.istioUse == .everything { keys.append("cse.loadbalance") }
        let entries = keys.flatMap { self.entries(below: $0).map(\.entry) }
        guard let first = entries.first else { return }
        let others = entries.count > 1 ? ", nor have \(entries.count - 1) other keys" : ""
        let whole = registry.istioUse == .everything ? ", how endpoints are chosen and what is tried again" : ""
        self.warn(
            first, "has no effect on services of Istio\(others): Istio says where their requests go\(whole)",
            "say it in a VirtualService or DestinationRule, or write \(RegistryConfig.Keys.infra.name): cse")
    }

    private mutating func reviewExternalHosts() {
        if !self.config.registry.istio.tellsExternalHosts {
            guard let entry = self.store.entry(RegistryConfig.Keys.egressAddress.name) else { return }
            // As the Go mesher's page has it, for whoever changes the other key only.
            self.note(
                entry, "has no effect: no external hosts come from Istio",
                "write \(RegistryConfig.Keys.egressInfra.name): istio, or leave it out")
        } else if let first = self.entries(below: "egressRule").first {
            self.warn(
                first.entry, "has no effect: Istio says which external hosts may be called",
                "say it in a ServiceEntry, or write \(RegistryConfig.Keys.egressInfra.name): cse")
        }
    }
}
