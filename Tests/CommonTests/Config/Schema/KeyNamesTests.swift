// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Common

@Suite struct KeyNamesTests {
    @Test(
        "finishes the names of keys",
        arguments: [
            ("mesher.timeouts.conn", ["mesher.timeouts.connect"]),
            ("mesher.workers", ["mesher.workers"]),
            ("cse.loadbalance.cart.RingHash.h", ["cse.loadbalance.cart.RingHash.header"]),
            ("cse.flowcontrol.Consumer.qps.limit.cart", ["cse.flowcontrol.Consumer.qps.limit.cart"]),
            (
                "servicecomb.isolation.Consumer.timeout", ["servicecomb.isolation.Consumer.timeoutInMilliseconds"]
            ),
            ("servicecomb.registry.tena", ["servicecomb.registry.tenant"]),
            // Not active yet, without effect, unknown.
            ("mesher.ingress.ty", []), ("cse.noRefresh", []), ("nonsense", []),
        ])
    func beginning(text: String, expected: [String]) { #expect(KeyNames.beginning(text) == expected) }

    @Test("offers every key that has one name, and nothing twice")
    func all() {
        let names = KeyNames.beginning("")
        #expect(Set(names).count == names.count && names == names.sorted())
        for key in ConfigCatalogue.all where key.state == .active && key.pattern.isOneKey {
            #expect(names.contains(key.pattern.text))
        }
    }

    @Test(
        "knows what a value is usually one of",
        arguments: [
            ("mesher.mode", ["sidecar", "per-host"]), ("cse.loadbalance.a.b.retryEnabled", ["true", "false"]),
            ("servicecomb.service.registry.type", RegistryConfig.Kind.allCases.map(\.rawValue)),
            ("logLevel", ["DEBUG", "INFO", "WARN", "ERROR", "FATAL"]), ("mesher.workers", []), ("nonsense", []),
        ])
    func values(name: String, expected: [String]) { #expect(KeyNames.values(of: name) == expected) }
}

@Suite struct ConfigReferenceTests {
    @Test(
        "finds what is known of a key, and of those below it",
        arguments: [
            ("mesher.timeouts.connect", ["mesher.timeouts.connect"]),
            ("servicecomb.routeRule.a.b", ["cse.routeRule.<service>"]), ("mesher.timeouts.connect.x", []),
            ("mesher.outlier", BalancingConfig.Keys.own.map(\.name).filter { $0.hasPrefix("mesher.outlier.") }),
        ])
    func rows(name: String, expected: [String]) { #expect(ConfigReference.rows(of: name).map(\.key) == expected) }
}
