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
                        ["shop": host], domains: DomainTable([.init("shop.test", port: nil, host: "shop")]),
                        ports: [80],
                        servedPorts: []
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
            let end = world.advance(&exchange)
            #expect(end == expected)
            world.chain.finish(&exchange)
        }
    }

    @Test("a fault is done to so many at a time, each to the end of its call")
    func most() throws {
        let world = try World("fault: {most: 1, delay: {time: 1s}}")
        var first = try world.begin()
        var second = try world.begin()
        var third = try world.begin()
        var ends = [world.advance(&first), world.advance(&second), world.advance(&first), world.advance(&third)]
        #expect(ends == ["waits", "to 10.0.0.1", "to 10.0.0.1", "to 10.0.0.1"])
        world.chain.finish(&first)
        first.reset()
        var fourth = try world.begin()
        ends = [world.advance(&fourth), world.advance(&fourth)]
        #expect(ends == ["waits", "to 10.0.0.1"])
        world.chain.finish(&second)
        world.chain.finish(&third)
        world.chain.finish(&fourth)
        world.exchanges.pass(.seconds(2))
    }

    @Test("a fault that no request may have is done to none")
    func none() throws {
        let world = try World("fault: {most: 0, abort: {status: 555}}")
        var exchange = try world.begin()
        let end = world.advance(&exchange)
        #expect(end == "to 10.0.0.1")
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
        world.exchanges.pass(.seconds(2))
        #expect(ends == ["555 fault_injected": 5, "to 10.0.0.2": 5])
    }

    @Test("who asks for a WebSocket is refused where none is allowed")
    func upgrades() throws {
        let world = try World("websockets: false")
        var upgrade = try world.begin("Connection: Upgrade", "Upgrade: websocket")
        var plain = try world.begin()
        let ends = [world.advance(&upgrade), world.advance(&plain)]
        #expect(ends == ["403 method_refused", "to 10.0.0.1"])
    }
}
