// SPDX-License-Identifier: Apache-2.0

import Common
import TestSupport
import Testing

@testable import Proxy

/// A changed setting renews only the state that it configures; a changed directory only what belongs to an instance.
@Suite struct StateRenewalTests {
    /// What is kept of a service, by identity.
    private struct Kept {
        var parts: [(name: String, object: AnyObject?)]

        init(_ bench: BalancingBench) throws {
            let (state, balancer) = (try bench.state(), try bench.balancer())
            let policy = state.policy
            let endpoint = balancer.set.endpoints[0]
            self.parts = [
                ("limiter", policy.limiter), ("circuit", policy.circuit), ("sessions", policy.sessions),
                ("instance circuit", policy.circuits.circuit(of: endpoint)), ("health", endpoint.health),
                ("load and latency", balancer.loads[0]), ("retry budget", state.budget),
            ]
        }

        /// What others have in place of these.
        func renewed(in other: Kept) -> [String] {
            zip(self.parts, other.parts).filter { $0.object !== $1.object }.map(\.0.name)
        }
    }

    @Test(
        "a change renews nothing but the state that it configures",
        arguments: [
            ("cse.flowcontrol.Consumer.qps.limit.cart", "7", ["limiter"]),
            ("cse.flowcontrol.Consumer.qps.limit.orders", "7", []),
            ("cse.circuitBreaker.Consumer.cart.requestVolumeThreshold", "9", ["circuit", "instance circuit"]),
            ("cse.circuitBreaker.Consumer.cart.sleepWindowInMilliseconds", "9", ["circuit", "instance circuit"]),
            ("cse.circuitBreaker.Consumer.orders.requestVolumeThreshold", "9", []),
            ("cse.circuitBreaker.Provider.requestVolumeThreshold", "9", []),
            ("cse.isolation.Consumer.cart.maxConcurrentRequests", "9", []),
            ("cse.isolation.Consumer.timeoutInMilliseconds", "9", []),
            ("cse.fallback.Consumer.enabled", "false", []),
            ("cse.loadbalance.SessionStickinessRule.sessionTimeoutInSeconds", "9", ["sessions"]),
            ("cse.loadbalance.SessionStickinessRule.successiveFailedTimes", "9", ["sessions"]),
            ("cse.loadbalance.serverListFilters", "zoneaware", []),
            ("cse.loadbalance.RingHash.header", "x-user", []),
            ("cse.loadbalance.retryOnNext", "2", []),
            ("mesher.retry.budgetPercent", "9", ["retry budget"]),
            ("mesher.outlier.consecutiveErrors", "9", []),
            ("cse.governance.Consumer._global.policy.fault.protocols.rest.abort.httpStatus", "421", []),
            ("routeRule.cart", "[{precedence: 1, route: [{weight: 100, tags: {version: '2.0'}}]}]", []),
        ] as [(String, String, [String])])
    func renewal(key: String, value: String, expected: [String]) throws {
        let values = [
            "cse.loadbalance.strategy.name": "SessionStickiness", "cse.flowcontrol.Consumer.qps.limit.cart": "5",
            "cse.circuitBreaker.Consumer.enabled": "true", "cse.loadbalance.retryEnabled": "true",
        ]
        let bench = try BalancingBench(["cart": BalancingBench.endpoints(3)], values)
        let before = try Kept(bench)
        #expect(before.parts.allSatisfy { $0.object != nil })
        try bench.configure(values.merging([key: value]) { $1 })
        #expect(before.renewed(in: try Kept(bench)) == expected)
        try bench.publish(["cart": BalancingBench.endpoints(1) + BalancingBench.endpoints(5, from: 10)])
        #expect(before.renewed(in: try Kept(bench)) == expected)
    }

    @Test("what an instance has is gone with it, and what the service has is not")
    func left() throws {
        let bench = try BalancingBench(
            ["cart": BalancingBench.endpoints(1)], ["cse.loadbalance.strategy.name": "SessionStickiness"])
        let before = try Kept(bench)
        try bench.publish(["cart": BalancingBench.endpoints(1, from: 2)])
        _ = try bench.balancer()
        try bench.publish(["cart": BalancingBench.endpoints(1)])
        #expect(before.renewed(in: try Kept(bench)) == ["health", "load and latency"])
    }

    @Test("another limit of calls at a time counts those that are on their way")
    func bulkhead() throws {
        let key = "cse.isolation.Consumer.cart.maxConcurrentRequests"
        let bench = try BalancingBench(["cart": BalancingBench.endpoints(1)], [key: "2"])
        let circuits = try { policy in
            [policy.circuit, policy.circuits.circuit(of: try bench.balancer().set.endpoints[0])]
        }(
            try bench.state().policy)
        #expect(circuits.allSatisfy { $0.take() && $0.take() && !$0.take() })
        try bench.configure([key: "3"])
        _ = try bench.state()
        #expect(circuits.allSatisfy { $0.take() && !$0.take() && $0.inFlight == 3 })
        try bench.configure([key: "1"])
        _ = try bench.state()
        circuits.forEach { $0.giveBack() }
        #expect(circuits.allSatisfy { !$0.take() })
    }
}

/// The same for what incoming requests meet.
@Suite struct ProviderPolicyTests {
    @Test(
        "a change renews nothing but the state that it configures",
        arguments: [
            ("cse.isolation.Provider.timeoutInMilliseconds", "9", []), ("cse.fallback.Provider.enabled", "false", []),
            ("cse.isolation.Provider.maxConcurrentRequests", "9", []),
            ("cse.circuitBreaker.Provider.requestVolumeThreshold", "9", ["circuit"]),
            ("cse.flowcontrol.Provider.qps.limit.shop", "9", ["limiter"]),
            ("cse.flowcontrol.Provider.qps.limit.other", "9", []),
            ("cse.flowcontrol.Provider.qps.global.limit", "9", ["shared"]),
            ("servicecomb.rateLimiting.all", "{match: none, rate: 3}", ["marks"]),
            ("servicecomb.rateLimiting.big", "{match: big, rate: 3}", []),
        ] as [(String, String, [String])])
    func renewal(key: String, value: String, expected: [String]) throws {
        let values = [
            "cse.flowcontrol.Provider.qps.limit.shop": "5", "cse.flowcontrol.Provider.qps.global.limit": "5",
            "servicecomb.rateLimiting.all": "{match: none, rate: 2}",
        ]
        let old = ProviderPolicy(try TestSidecar.config(values))
        let new = ProviderPolicy(try TestSidecar.config(values.merging([key: value]) { $1 }), upon: old)
        func parts(_ policy: ProviderPolicy) -> [(String, AnyObject?)] {
            [
                ("circuit", policy.circuit), ("limiter", policy.limiter(for: "shop")),
                ("shared", policy.limiter(for: "unknown")), ("marks", policy.marks.none.limiter),
            ]
        }
        #expect(parts(old).allSatisfy { $0.1 != nil })
        #expect(zip(parts(old), parts(new)).filter { $0.1 !== $1.1 }.map(\.0.0) == expected)
    }
}
