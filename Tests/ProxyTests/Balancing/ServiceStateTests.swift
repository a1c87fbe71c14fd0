// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import Testing

@testable import Proxy

/// What lives on when the directory or the configuration changes.
@Suite struct ServiceStateTests {
    @Test("when every service changes at once, none loses what its loop knows")
    func everything() throws {
        let names = (0..<200).map { "service\($0)" }
        func services(_ count: Int) -> [String: [String]] {
            Dictionary(uniqueKeysWithValues: names.map { ($0, BalancingBench.endpoints(count)) })
        }
        let bench = try BalancingBench(services(3))
        for count in 4...6 {
            let before = try names.map { try bench.balancer($0).loads[0] }
            let budgets = try names.map { try bench.state($0).budget }
            try bench.publish(services(count))
            for (index, name) in names.enumerated() {
                #expect(try bench.balancer(name).loads[0] === before[index], "\(name)")
                #expect(try bench.state(name).budget === budgets[index], "\(name)")
            }
        }
    }

    @Test("services that are gone are forgotten, though not at once")
    func gone() throws {
        let bench = try BalancingBench([:])
        var states = ServiceStates(loop: 0, of: 1)
        var random = FastRandom(seed: 1)
        for round in 0..<10 {
            let names = (0..<100).map { "service\(round).\($0)" }
            try bench.publish(Dictionary(uniqueKeysWithValues: names.map { ($0, ["rest://10.0.0.1:80"]) }))
            let directory = bench.worker.directory
            for service in directory.all {
                _ = states.state(
                    of: service, bench.worker.rules, bench.worker.governance, bench.worker.metrics, &random
                ) { directory[$0.name] === $0 }
            }
            #expect(100...300 ~= states.count, "\(states.count)")
        }
    }

    @Test("instances that are gone are forgotten; those that stay keep their load")
    func churn() throws {
        let bench = try BalancingBench(["cart": BalancingBench.endpoints(3)])
        let first = try bench.balancer().loads[0]
        for round in 0..<50 {
            try bench.publish(["cart": BalancingBench.endpoints(1) + BalancingBench.endpoints(2, from: 3 + 2 * round)])
            #expect(try bench.balancer().loads[0] === first)
            #expect(try bench.state().loadCount == 3)
        }
    }

    @Test("what is known of the instances of two clusters survives a reload, whichever is called first")
    func twoClusters() throws {
        let clusters = "[{name: a, service: cart}, {name: b, service: stock}]"
        func hosts(_ name: String) -> [String: String] {
            [
                "mesh.clusters": clusters,
                "mesh.hosts":
                    "- {name: shop, routes: [{name: \(name), targets: [{cluster: a, weight: 1}, {cluster: b, weight: 1}]}]}",
            ]
        }
        let bench = try BalancingBench(
            ["cart": ["rest://10.0.0.1:80"], "stock": ["rest://10.0.0.2:80"]], hosts("one"))
        func loads() throws -> [EndpointLoad] {
            let host = Array("shop".utf8)
            let service = bench.worker.rules.hosts.find(host.rawSpan, port: 80)
            let state = bench.worker.state(of: try #require(service))
            return [1, 2].map { state.cluster($0, isGRPC: false, bench.worker).loads[0] }
        }
        let before = try loads()
        try bench.configure(hosts("two"))
        let after = try loads()
        #expect(after[0] === before[0] && after[1] === before[1])
    }

    @Test("an external host keeps its budget from one configuration to the next")
    func host() throws {
        let bench = try BalancingBench([:])
        func state() -> ServiceState {
            let host = Service(name: "api.example.com", instances: [], ownApp: "", kind: .externalHost)
            return bench.worker.state(of: host)
        }
        let first = state()
        try bench.configure(["mesher.retry.failover": "1"])
        #expect(state() !== first && state().budget === first.budget)
    }

    @Test("the retries that are always allowed are those of the process, not of each loop", arguments: [1, 4])
    func floor(loops: Int) throws {
        let bench = try BalancingBench(["cart": BalancingBench.endpoints(1)], loopCount: loops)
        let budget = try bench.state().budget
        let now = bench.worker.now
        #expect((0..<1_000).count { _ in budget.mayRetry(at: now) } == 100 / loops)
        try bench.publish(["cart": BalancingBench.endpoints(2)])
        try bench.configure(["cse.loadbalance.strategy.name": "Random"])
        #expect(try bench.state().budget.mayRetry(at: now) == false)
    }

    @Test("the turn goes on where it was, whatever comes or goes")
    func turn() throws {
        let bench = try BalancingBench(["cart": BalancingBench.endpoints(2)])
        func pick() throws -> Int? {
            let balancer = try bench.balancer()
            return balancer.pick(hash: nil, at: bench.worker.now, using: &bench.worker.random) { _ in true }
        }
        let first = try pick()
        try bench.publish(["cart": BalancingBench.endpoints(2), "orders": BalancingBench.endpoints(1)])
        #expect(try pick() != first)
        try bench.configure(["routeRule.cart": "[{precedence: 1, route: [{weight: 100, tags: {version: '1.0'}}]}]"])
        #expect(try pick() == first)
        try bench.configure([:])
        #expect(try pick() != first)
    }

    @Test("the fastest instance is still known when another one comes")
    func speeds() throws {
        let values = ["cse.loadbalance.strategy.name": "WeightedResponse"]
        let bench = try BalancingBench(["cart": BalancingBench.endpoints(3)], values)
        let balancer = try bench.balancer()
        for index in 0..<3 { balancer.observe(.milliseconds(index == 2 ? 1 : 50), of: index, at: bench.worker.now) }
        func favourite() throws -> Int? {
            let balancer = try bench.balancer()
            return tally(4, picks: 1_000) {
                balancer.pick(hash: nil, at: bench.worker.now, using: &bench.worker.random) { _ in true }
            }.firstIndex { $0 > 600 }
        }
        #expect(try favourite() == nil)
        bench.advance(.seconds(31))
        #expect(try favourite() == 2)
        try bench.publish(["cart": BalancingBench.endpoints(4)])
        #expect(try favourite() == 2)
    }

    @Test("a split goes on as long as its rule has these targets")
    func split() throws {
        let rule =
            "{precedence: 2, route: [{weight: 60, tags: {version: '1.0'}}, {weight: 40, tags: {version: '2.0'}}]}"
        let other = "{precedence: 3, match: {headers: {x: {exact: y}}}, route: [{weight: 100, tags: {version: '3.0'}}]}"
        func rules(_ rules: String) -> [String: String] { ["routeRule.cart": "[\(rules)]"] }
        let bench = try BalancingBench(["cart": BalancingBench.endpoints(1)], rules(rule))
        func next(_ rule: Int) throws -> String? {
            let state = try bench.state()
            return state.target(of: rule).map { target in
                guard let host = state.policy.host else { return "" }
                #expect(host.routes[rule].targets[target.index].cluster == target.cluster - 1)
                return host.clusters[target.cluster - 1].tags.version
            }
        }
        // What 60 to 40 comes to is 1.0, 2.0, 1.0, 2.0, 1.0.
        #expect(try [next(0), next(0)] == ["1.0", "2.0"])
        try bench.configure(rules("\(other), \(rule)"))
        #expect(try [next(1), next(0), next(1)] == ["1.0", "3.0", "2.0"])
        try bench.publish(["cart": BalancingBench.endpoints(2)])
        #expect(try [next(1), next(1)] == ["1.0", "1.0"])
        try bench.configure(rules("\(other), \(rule.replacing("40", with: "30"))"))
        #expect(try [next(1), next(1)] == ["1.0", "2.0"])
    }
}
