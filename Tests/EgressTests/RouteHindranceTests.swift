// SPDX-License-Identifier: Apache-2.0

import Common
import Egress
import NIOCore
import TestSupport
import Testing

@testable import Proxy

/// What a route does to some of its requests on purpose, or refuses.
@Suite struct RouteHindranceTests {
    private struct World {
        let exchanges: TestExchange
        let chain: StageChain

        /// - Parameter route: A route of `mesh.yaml` for `shop.test`, without its targets.
        init(_ route: String) throws {
            try self.init(
                TestSidecar.config([
                    "mesh.clusters": "[{name: one, service: cart}]",
                    "mesh.hosts": "[{name: shop.test, routes: [{targets: [{cluster: one}], \(route)}]}]",
                ])
            ) { $0 }
        }

        /// - Parameter host: Has routes for `shop.test`.
        init(_ host: VirtualHost) throws {
            try self.init(TestSidecar.config([:])) { rules in
                rules.with(
                    ControlPlaneRoutes(
                        ["shop": host], domains: DomainTable([.init("shop.test", port: nil, host: "shop")]), ports: [80]
                    ))
            }
        }

        private init(_ config: MesherConfig, _ change: (MeshRules) -> MeshRules) throws {
            var reader = ConfigReader(ConfigStore([]))
            self.chain = StageChain(
                EgressStages(
                    config, own: OwnListeners(ListenerConfig(&reader), machine: []), resolver: HostResolver(),
                    token: HopToken(), marks: Marks(config.rules)
                ).inOrder)
            self.exchanges = TestExchange(
                try TestExchange.directory(instances: [
                    "cart": ["rest://10.0.0.1:80"], "stock": ["rest://10.0.0.2:80"],
                ]), change(MeshRules(config)))
        }

        func begin(_ lines: String...) throws -> Exchange {
            try self.exchanges.make(["GET http://shop.test/ HTTP/1.1", "Host: shop.test"] + lines)
        }

        /// What the chain makes of a request.
        func advance(_ exchange: inout Exchange) -> String {
            switch self.chain.advance(&exchange) {
            case .forward: return "to \(exchange.endpoint?.host ?? "nowhere")"
            case .reply(let reply): return "reply \(reply.status)"
            case .fail(let error): return "\(error.status) \(error.reason.rawValue)"
            case .wait: return "waits"
            }
        }
    }

    @Test("a fault is for the requests whose fields are so")
    func fields() throws {
        let world = try World("fault: {headers: {x-user: {exact: me}, x-team: {prefix: a}}, abort: {status: 555}}")
        for (lines, expected) in [
            (["X-User: me", "X-Team: ab"], "555 fault_injected"), (["X-User: me"], "to 10.0.0.1"), ([], "to 10.0.0.1"),
            (["X-User: you", "X-Team: ab"], "to 10.0.0.1"),
        ] {
            var exchange = try world.exchanges.make(["GET http://shop.test/ HTTP/1.1", "Host: shop.test"] + lines)
            #expect(world.advance(&exchange) == expected)
            world.chain.finish(&exchange)
        }
    }

    @Test("a fault is done to so many at a time, each to the end of its call")
    func most() throws {
        let world = try World("fault: {most: 1, delay: {time: 1s}}")
        var first = try world.begin()
        #expect(world.advance(&first) == "waits")
        var second = try world.begin()
        #expect(world.advance(&second) == "to 10.0.0.1")
        world.chain.finish(&second)
        #expect(world.advance(&first) == "to 10.0.0.1")
        var third = try world.begin()
        #expect(world.advance(&third) == "to 10.0.0.1")
        world.chain.finish(&first)
        first.reset()
        var fourth = try world.begin()
        #expect(world.advance(&fourth) == "waits")
        #expect(world.advance(&fourth) == "to 10.0.0.1")
        world.chain.finish(&third)
        world.chain.finish(&fourth)
        let never = try World("fault: {most: 0, abort: {status: 555}}")
        var passing = try never.begin()
        #expect(never.advance(&passing) == "to 10.0.0.1")
    }

    @Test("a fault of one target is done to its share alone, and a request keeps its target through a delay")
    func targets() throws {
        var fault = RouteFault()
        (fault.delay, fault.delayShare) = (.seconds(1), RouteFault.all)
        (fault.abortStatus, fault.abortShare) = (555, RouteFault.all)
        let route = Route(
            match: .always, weights: [1, 1], targetActions: [RouteAction(fault: fault), nil], at: ConfigLocation("f"))
        let clusters = ["cart", "stock"].map { Cluster(name: $0, .service($0, InstanceTags())) }
        let world = try World(VirtualHost([(route, clusters)], unmatched: .notFound, plain: ""))
        var ends: [String: Int] = [:]
        for _ in 0..<10 {
            var exchange = try world.begin()
            var end = world.advance(&exchange)
            if end == "waits" { end = world.advance(&exchange) }
            ends[end, default: 0] += 1
            world.chain.finish(&exchange)
        }
        #expect(ends == ["555 fault_injected": 5, "to 10.0.0.2": 5])
    }

    @Test("who asks for a WebSocket is refused where none is allowed")
    func upgrades() throws {
        let world = try World("websockets: false")
        var exchange = try world.begin("Connection: Upgrade", "Upgrade: websocket")
        #expect(world.advance(&exchange) == "403 method_refused")
        var plain = try world.begin()
        #expect(world.advance(&plain) == "to 10.0.0.1")
    }
}
