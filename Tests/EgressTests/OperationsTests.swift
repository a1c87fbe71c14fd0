// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import NIOEmbedded
import TestSupport
import Testing

@testable import Egress
@testable import Proxy

/// What operators do to instances and circuits of a running sidecar.
@Suite struct OperationsTests {
    /// A mesh, and who decides about it.
    private struct World {
        let loop = EmbeddedEventLoop()
        let governance = Governance()
        let log = TestLog()
        let mesh: Snapshot<Mesh>
        let operations: Operations

        init(_ directory: ServiceDirectory, _ rules: MeshRules = .plain) {
            self.mesh = Snapshot(Mesh(directory, rules), on: self.loop)
            self.operations = Operations(mesh: self.mesh, governance: self.governance, logger: self.log.logger)
        }

        @discardableResult
        func perform(
            _ action: OperatorRequest.Action, _ service: String = "cart", _ instance: String? = nil, app: String? = nil,
            time: Double = 1
        ) throws(OperatorRefusal) -> OperatorAnswer {
            try self.operations.perform(
                OperatorRequest(action, service, instance: instance, app: app), at: .now(), time: time)
        }

        /// Why it is refused; `nil` when it is not.
        func refusal(
            _ action: OperatorRequest.Action, _ service: String = "cart", _ instance: String? = nil, app: String? = nil
        ) -> OperatorRefusal? {
            do throws(OperatorRefusal) {
                try self.perform(action, service, instance, app: app)
                return nil
            } catch {
                return error
            }
        }

        /// What holds for each endpoint of a service, by port.
        func orders(_ service: String = "cart") -> [Int: OperatorOrder] {
            let endpoints = self.mesh.current.services[service]?.instances.flatMap(\.endpoints) ?? []
            return Dictionary(
                endpoints.compactMap { endpoint in endpoint.health.order.map { (endpoint.port, $0) } },
                uniquingKeysWith: { first, _ in first })
        }
    }

    /// Services by name, with instances of these endpoints, versions and applications.
    private static func directory(
        _ services: [String: [(endpoints: [String], version: String, app: String)]],
        upon previous: ServiceDirectory = .empty
    ) throws -> ServiceDirectory {
        var builder = ServiceDirectoryBuilder(upon: previous, ownApp: "shop")
        for (name, instances) in services.sorted(by: { $0.key < $1.key }) {
            var made: [Instance] = []
            for instance in instances {
                let endpoints = try instance.endpoints.map { text in try builder.endpoint(text) }
                made.append(
                    Instance(
                        id: instance.endpoints[0], version: instance.version, app: instance.app, status: .up,
                        properties: [:], endpoints: endpoints))
            }
            builder.add(name, made)
        }
        return builder.build()
    }

    private static func carts(_ ports: [Int], upon previous: ServiceDirectory = .empty) throws -> ServiceDirectory {
        try self.directory(
            ["cart": ports.map { (["rest://10.0.0.1:\($0)"], "1", "shop") }], upon: previous)
    }

    /// A host whose routes lead to a cluster each.
    private static func host(_ clusters: [Cluster], service: String? = nil) -> VirtualHost {
        let routes = clusters.map { cluster in
            (route: Route(match: .always, weights: [100], at: ConfigLocation("test")), clusters: [cluster])
        }
        return VirtualHost(routes, service: service, plain: "")
    }

    private static func rules(_ name: String, _ host: VirtualHost) -> MeshRules {
        MeshRules.plain.with(
            ControlPlaneRoutes([name: host], domains: DomainTable(), ports: [80], servedPorts: [80]))
    }

    @Test("an instance is disabled, drained and enabled, at all of its endpoints, whatever its address is written like")
    func decides() throws {
        let world = World(
            try Self.directory([
                "cart": [
                    (["rest://10.0.0.1:1", "grpc://10.0.0.1:2"], "1", "shop"), (["rest://10.0.0.1:3"], "1", "shop"),
                    (["rest://[fd00::1]:4"], "1", "shop"),
                ]
            ]))
        let first = try world.perform(.disable, "cart", "10.0.0.1:2")
        #expect(first.changed && first.endpoints == ["grpc://10.0.0.1:2", "rest://10.0.0.1:1"] && first.warning == nil)
        #expect(world.orders() == [1: .disabled, 2: .disabled])
        #expect(try !world.perform(.disable, "CART", "rest://10.0.0.1:2", time: 9).changed)
        try world.perform(.drain, "cart", "[fd00::1]:4", time: 2)
        #expect(world.orders() == [1: .disabled, 2: .disabled, 4: .draining])
        #expect(
            world.operations.orders.operations == [
                .init(service: "cart", instance: "10.0.0.1:2", app: nil, operator: .disabled, since: 1, known: true),
                .init(service: "cart", instance: "[fd00::1]:4", app: nil, operator: .draining, since: 2, known: true),
            ])
        #expect(try world.perform(.drain, "cart", "10.0.0.1:1").changed, "one decision for all of its addresses")
        #expect(world.operations.orders.operations.map(\.instance) == ["10.0.0.1:1", "[fd00::1]:4"])
        #expect(world.orders() == [1: .draining, 2: .draining, 4: .draining])
        #expect(try world.perform(.enable, "cart", "10.0.0.1:2").changed)
        #expect(try !world.perform(.enable, "cart", "10.0.0.1:3").changed)
        #expect(world.orders() == [4: .draining] && world.operations.orders.operations.count == 1)
        #expect(world.log.lines.count { $0.hasPrefix("notice an operator has decided") } == 6)
        #expect(
            world.log.lines.contains(
                "notice an operator has decided about a service action=disable changed=true instance=10.0.0.1:2 service=cart"
            ))
    }

    @Test("whoever has nobody left is told so, for the version too")
    func warnings() throws {
        let world = World(
            try Self.directory([
                "cart": [
                    (["rest://10.0.0.1:1"], "1", "shop"), (["rest://10.0.0.1:2"], "1", "shop"),
                    (["rest://10.0.0.1:3"], "2", "shop"),
                ]
            ]))
        #expect(try world.perform(.disable, "cart", "10.0.0.1:1").warning == nil)
        let last = try world.perform(.drain, "cart", "10.0.0.1:2").warning
        #expect(
            last
                == "no instance of cart of version 1 is left: requests without a session there fail until one is enabled or joins"
        )
        #expect(try world.perform(.disable, "cart", "10.0.0.1:3").warning?.contains("version 2") == true)
        #expect(try world.perform(.enable, "cart", "10.0.0.1:3").warning == nil)
    }

    @Test("what nobody understands or knows is refused with what there is")
    func refusals() throws {
        let world = World(try Self.carts([1, 2]))
        #expect(
            world.refusal(.disable, "chart", "10.0.0.1:1")
                == OperatorRefusal(.unknown, "no service chart is known; these are: cart"))
        #expect(
            world.refusal(.drain, "cart", "10.0.0.1:9")
                == OperatorRefusal(
                    .unknown, "cart has no instance 10.0.0.1:9; these are known: 10.0.0.1:1, 10.0.0.1:2"))
        #expect(world.refusal(.enable, "cart", "10.0.0.1:1", app: "other")?.reason == .unknown)
        #expect(world.refusal(.resetEjection, "cart", "10.0.0.1:9")?.reason == .unknown)
        #expect(world.refusal(.resetCircuit, "chart")?.reason == .unknown)
        for text in ["10.0.0.1", "cart-1:80", ":80", "10.0.0.1:0", ""] {
            #expect(world.refusal(.disable, "cart", text)?.reason == .invalid, "\(text)")
        }
        for action in [OperatorRequest.Action.disable, .drain, .enable] {
            #expect(world.refusal(action)?.reason == .invalid)
        }
        #expect(world.refusal(.disable, "", "10.0.0.1:1")?.reason == .invalid)
        #expect(world.orders().isEmpty && world.operations.orders.operations.isEmpty && world.log.lines.isEmpty)
        #expect(World(.empty).refusal(.resetCircuit)?.text == "no service cart is known; nor is any other")
    }

    @Test("decisions outlive what registries say, also of an instance that goes and comes back")
    func publications() throws {
        let world = World(try Self.carts([1, 2]))
        try world.perform(.disable, "cart", "10.0.0.1:1")
        let without = try Self.carts([2], upon: world.mesh.current.services)
        world.operations.publish(Mesh(without, .plain))
        #expect(world.mesh.current.services === without)
        #expect(world.orders().isEmpty && world.operations.orders.operations.map(\.known) == [false])
        // Made anew, and marked before anybody can see it.
        world.operations.publish(Mesh(try Self.carts([1, 2]), .plain))
        #expect(world.orders() == [1: .disabled] && world.operations.orders.operations.map(\.known) == [true])
        world.operations.publish(Mesh(without, .plain))
        #expect(try world.perform(.enable, "cart", "10.0.0.1:1").changed, "it can be undone meanwhile")
        world.operations.publish(Mesh(try Self.carts([1, 2]), .plain))
        #expect(world.orders().isEmpty)
    }

    @Test("an application has instances of its own, and a decision about all of them takes the place of one")
    func applications() throws {
        let world = World(
            try Self.directory([
                "cart": [(["rest://10.0.0.1:1"], "1", "shop"), (["rest://10.0.0.2:1"], "1", "other")]
            ]))
        let text = world.refusal(.disable, "cart", "10.0.0.2:1", app: "shop")?.text
        #expect(text?.contains("of application shop") == true)
        try world.perform(.disable, "cart", "10.0.0.2:1", app: "other")
        try world.perform(.drain, "cart", "10.0.0.2:1")
        #expect(world.operations.orders.operations.map(\.operator) == [.draining])
        try world.perform(.enable, "cart", "10.0.0.2:1", app: "other")
        #expect(world.operations.orders.operations.isEmpty && world.orders().isEmpty)
    }

    @Test("services at one address share it: what was decided last holds, by whichever name")
    func shared() throws {
        let both = [(endpoints: ["rest://10.0.0.1:1"], version: "1", app: "shop")]
        let world = World(try Self.directory(["cart": both, "stock": both]))
        try world.perform(.disable, "cart", "10.0.0.1:1")
        try world.perform(.drain, "stock", "10.0.0.1:1")
        try world.perform(.enable, "stock", "10.0.0.1:1")
        #expect(world.orders().isEmpty && world.operations.orders.operations.isEmpty)
        // What comes back is what it was, and what is enabled is so everywhere, wherever its endpoint has been meanwhile.
        try world.perform(.disable, "cart", "10.0.0.1:1")
        let endpoint = try #require(world.mesh.current.services["cart"]?.instances.first?.endpoints.first)
        let moved = try Self.directory(["stock": both], upon: world.mesh.current.services)
        world.operations.publish(Mesh(moved, .plain))
        #expect(!endpoint.health.isWithheld && world.operations.orders.operations.map(\.known) == [false])
        world.operations.publish(Mesh(try Self.directory(["cart": both, "stock": both], upon: moved), .plain))
        #expect(world.orders() == [1: .disabled])
        try world.perform(.enable, "cart", "10.0.0.1:1")
        world.operations.publish(Mesh(try Self.directory(["cart": both, "stock": both], upon: moved), .plain))
        #expect(world.orders().isEmpty && world.orders("stock").isEmpty)
        // By the name of the service, of a host that leads to it, and of the cluster in between.
        let cluster = Cluster(name: "old", .service("cart", InstanceTags()))
        let named = World(world.mesh.current.services, Self.rules("shop", Self.host([cluster])))
        for (decided, lifted) in [("cart", "shop"), ("old", "cart"), ("shop", "old")] {
            try named.perform(.disable, decided, "10.0.0.1:1")
            #expect(try named.perform(.enable, lifted, "10.0.0.1:1").changed)
            #expect(named.orders().isEmpty && named.operations.orders.operations.isEmpty)
        }
        #expect(
            named.refusal(.disable, "Shop", "10.0.0.1:1")?.text.hasSuffix("these are: cart, old, shop, stock") == true)
    }

    @Test("a control plane's clusters have no endpoint in common: all of a host are meant, and each by its name")
    func clusters() throws {
        let names = ["outbound|80||cart.shop.svc", "outbound|80|v1|cart.shop.svc"]
        var builder = ServiceDirectoryBuilder(upon: .empty, ownApp: "")
        let entries = [ClusterEntry("rest://10.0.0.1:1"), ClusterEntry("rest://10.0.0.1:2")]
        for name in names { builder.addCluster(name, entries) }
        let host = Self.host(names.map { Cluster(name: $0, .service($0, InstanceTags())) }, service: "cart")
        let world = World(builder.build(), Self.rules("cart.shop.svc:80", host))
        let answer = try world.perform(.disable, "cart", "10.0.0.1:1")
        #expect(answer.changed && answer.endpoints == ["rest://10.0.0.1:1"])
        for name in names { #expect(world.orders(name) == [1: .disabled]) }
        try world.perform(.enable, "cart", "10.0.0.1:1")
        #expect(try world.perform(.drain, names[1], "10.0.0.1:2").warning == nil)
        #expect(world.orders(names[0]).isEmpty && world.orders(names[1]) == [2: .draining])
    }

    @Test("addresses of mesh.yaml are instances of their cluster and of the hosts that lead there")
    func written() throws {
        let entries = [ClusterEntry("rest://10.0.0.1:1"), ClusterEntry("rest://10.0.0.1:2")]
        let cluster = Cluster(name: "old", .fixed(entries))
        let world = World(.empty, Self.rules("web", Self.host([cluster])))
        for name in ["web", "old"] {
            #expect(try world.perform(.disable, name, "10.0.0.1:1").changed == (name == "web"))
            #expect(world.governance.endpoints(writtenIn: cluster).map(\.health.order) == [.disabled, nil])
        }
        let warning = try world.perform(.disable, "old", "10.0.0.1:2").warning
        #expect(warning?.hasPrefix("no instance of old is left") == true)
    }

    @Test("an ejection ends, that of one instance or of all")
    func ejections() throws {
        let world = World(try Self.carts([1, 2, 3]))
        let endpoints = try #require(world.mesh.current.services["cart"]).instances.flatMap(\.endpoints)
        func eject() {
            for endpoint in endpoints.prefix(2) {
                _ = endpoint.health.failed(
                    .connect, at: .now(), settings: OutlierSettings(consecutiveErrors: 1)
                ) { true }
            }
        }
        eject()
        #expect(try world.perform(.resetEjection, "cart", "10.0.0.1:1").endpoints == ["rest://10.0.0.1:1"])
        eject()
        #expect(try world.perform(.resetEjection).endpoints == ["rest://10.0.0.1:1", "rest://10.0.0.1:2"])
        #expect(try !world.perform(.resetEjection).changed)
        #expect(endpoints.allSatisfy { !$0.health.isEjected(at: .now()) })
        // It is no way around a decision.
        try world.perform(.disable, "cart", "10.0.0.1:1")
        #expect(try !world.perform(.resetEjection).changed && world.orders() == [1: .disabled])
    }

    @Test("the circuit of a service closes, and those of its instances")
    func circuits() throws {
        let rules = try MeshRules(
            TestSidecar.config([
                "cse.circuitBreaker.Consumer.enabled": "true",
                "cse.circuitBreaker.Consumer.requestVolumeThreshold": "1",
            ]))
        let world = World(try Self.carts([1]), rules)
        #expect(try world.perform(.resetCircuit).circuit == nil, "nothing has called it")
        let policy = world.governance.policy(for: "cart", under: rules)
        #expect(try world.perform(.resetCircuit).circuit == "closed")
        policy.circuit.failed(at: .now())
        _ = policy.circuit.admit(at: .now())
        let answer = try world.perform(.resetCircuit)
        #expect(answer.circuit == "open" && answer.changed)
        #expect(policy.circuit.admit(at: .now()) == .admitted)
    }

    @Test("metrics count what was done, and what is in force")
    func metrics() throws {
        let world = World(try Self.carts([1, 2]))
        try world.perform(.disable, "cart", "10.0.0.1:1")
        try world.perform(.disable, "cart", "10.0.0.1:1")
        try world.perform(.drain, "cart", "10.0.0.1:2")
        _ = world.refusal(.drain, "cart", "10.0.0.1:9")
        let values = world.operations.families().flatMap { family in family.samples.map(\.value) }
        #expect(values == [2, 1, 0, 0, 0, 1, 1])
    }
}
