// SPDX-License-Identifier: Apache-2.0

import Common
import Egress
import NIOCore
import Proxy
import Synchronization
import TestSupport
import Testing

/// What requests have a registry asked for, when that does not tell everything by itself.
@Suite struct DemandTests {
    private final class Registry: Sendable {
        private let messages = Mutex<[String]>([])

        var asked: [String] {
            self.messages.withLock { messages in
                defer { messages = [] }
                return messages
            }
        }

        func ask(_ message: RegistryMessage) -> Bool {
            switch message {
            case .serviceWanted(let demand): self.messages.withLock { $0.append("\(demand.app)/\(demand.name)") }
            case .serviceRefuses(let demand):
                self.messages.withLock { $0.append("\(demand.app)/\(demand.name) refuses") }
            case .namesElsewhere, .consumerChanged, .instanceChanged, .addressesChanged, .caughtUp: return false
            }
            return true
        }
    }

    private static let rule = [
        "servicecomb.routeRule.cart": "- precedence: 1\n  route: [{tags: {app: shop}, weight: 100}]\n"
    ]
    private static func ruled() throws -> MeshRules { MeshRules(try TestSidecar.config(Self.rule)) }
    private let registry = Registry()

    /// The chain of a sidecar of the application `default`.
    private func stages() throws -> [any Stage] {
        let config = try TestSidecar.config([:])
        return EgressStages(
            config, own: .none, resolver: HostResolver(), token: HopToken(),
            marks: Marks(config.rules)
        ).inOrder
    }

    /// What a registry has told of a service, by application; `nil` when there is none.
    private func directory(_ endpoints: [String: String?], isKnown: Bool = true) throws -> ServiceDirectory {
        var builder = ServiceDirectoryBuilder(upon: .empty, ownApp: "default")
        builder.isComplete = false
        var instances: [Instance] = []
        var known: Set<ServiceDemand> = []
        for (app, text) in endpoints {
            let demand = ServiceDemand(app: app, name: "cart")
            guard let text else {
                builder.absences[demand] = .init(.unknown, until: .distantFuture)
                continue
            }
            known.insert(demand)
            if text.isEmpty { continue }
            instances.append(
                Instance(
                    id: app, version: "1.0", app: app, status: .up, properties: [:],
                    endpoints: [try builder.endpoint(text)]))
        }
        if !known.isEmpty { builder.add("cart", instances) }
        builder.known = known
        return builder.build()
    }

    private func begin(_ exchanges: TestExchange) throws -> Exchange {
        try exchanges.make(["GET http://cart/ HTTP/1.1", "Host: cart"])
    }

    @Test("a name of which nothing is known is asked for in every application that a rule leads to, at once")
    func unknownName() throws {
        let exchanges = TestExchange(try self.directory([:]), try Self.ruled(), ask: self.registry.ask)
        let chain = StageChain(try self.stages())
        var exchange = try self.begin(exchanges)
        guard case .wait = chain.advance(&exchange) else {
            Issue.record("the request does not wait")
            return
        }
        #expect(self.registry.asked == ["default/cart", "shop/cart"])
        // The own application has none, the other one has: that is enough.
        exchanges.publish(try self.directory(["default": nil, "shop": "rest://10.0.0.1:80"]))
        guard case .forward = chain.advance(&exchange) else {
            Issue.record("the request is not sent")
            return
        }
        #expect(exchange.endpoint?.host == "10.0.0.1" && self.registry.asked == [])
    }

    @Test("a virtual host that has the name of the service it leads to stays one, also after a wait")
    func hostOfThatName() throws {
        let rules = MeshRules(
            try TestSidecar.config([
                "mesh.clusters": "[{name: other, service: stock}, {name: all, service: cart}]",
                "mesh.hosts": """
                - name: cart
                  routes:
                    - {match: [{path: {exact: /stock}}], targets: [{cluster: other}]}
                    - {targets: [{cluster: all}]}
                """,
            ]))
        let exchanges = TestExchange(try self.directory([:]), rules, ask: self.registry.ask)
        let chain = StageChain(try self.stages())
        var exchange = try self.begin(exchanges)
        guard case .wait = chain.advance(&exchange) else {
            Issue.record("the request does not wait")
            return
        }
        #expect(self.registry.asked == ["default/cart"])
        exchanges.publish(try self.directory(["default": "rest://10.0.0.1:80"]))
        guard case .forward = chain.advance(&exchange) else {
            Issue.record("the request is not sent")
            return
        }
        #expect(exchange.endpoint?.host == "10.0.0.1" && exchange.target?.service.kind == .virtualHost)
    }

    @Test("without rules only the own application is asked for")
    func noRules() throws {
        let exchanges = TestExchange(try self.directory([:]), ask: self.registry.ask)
        var exchange = try self.begin(exchanges)
        _ = StageChain(try self.stages()).advance(&exchange)
        #expect(self.registry.asked == ["default/cart"])
        exchanges.publish(try self.directory(["default": nil]))
        guard case .fail(let error) = StageChain(try self.stages()).advance(&exchange) else {
            Issue.record("the request does not fail")
            return
        }
        #expect(error.status == 502)
    }

    @Test("a rule that leads to another application has it asked for, although the name is known")
    func knownName() throws {
        let exchanges = TestExchange(
            try self.directory(["default": "rest://10.0.0.1:80"]), try Self.ruled(), ask: self.registry.ask)
        let chain = StageChain(try self.stages())
        var exchange = try self.begin(exchanges)
        guard case .wait = chain.advance(&exchange) else {
            Issue.record("the request does not wait")
            return
        }
        #expect(self.registry.asked == ["shop/cart"])
        exchanges.publish(try self.directory(["default": "rest://10.0.0.1:80", "shop": "rest://10.0.0.2:80"]))
        guard case .forward = chain.advance(&exchange) else {
            Issue.record("the request is not sent")
            return
        }
        #expect(exchange.endpoint?.host == "10.0.0.2")

        // What is settled is not waited for.
        exchanges.publish(try self.directory(["default": "rest://10.0.0.1:80", "shop": nil]))
        var other = try self.begin(exchanges)
        guard case .fail(let error) = chain.advance(&other) else {
            Issue.record("the request does not fail")
            return
        }
        #expect(error.status == 502)
    }

    @Test("a service without instances, and one whose last instance refuses, have the registry asked again")
    func refusals() throws {
        let exchanges = TestExchange(try self.directory(["default": ""]), ask: self.registry.ask)
        let chain = StageChain(try self.stages())
        var exchange = try self.begin(exchanges)
        _ = chain.advance(&exchange)
        #expect(self.registry.asked == ["default/cart refuses"])

        let refusing = TestExchange(try self.directory(["default": "rest://10.0.0.1:80"]), ask: self.registry.ask)
        exchange = try self.begin(refusing)
        _ = chain.advance(&exchange)
        #expect(self.registry.asked == [])
        exchange.error = ProxyError(.connectFailed)
        exchange.outcome = .connectFailed
        #expect(chain.recover(&exchange) == nil)
        #expect(self.registry.asked == ["default/cart refuses"])
    }

    @Test("a request does not wait for one answer after the other for ever")
    func patience() throws {
        let exchanges = TestExchange(try self.directory([:]), ask: self.registry.ask)
        let chain = StageChain(try self.stages())
        var exchange = try self.begin(exchanges)
        _ = chain.advance(&exchange)
        exchange.awaitsUntil = exchange.worker.now
        guard case .fail(let error) = chain.advance(&exchange) else {
            Issue.record("the request does not fail")
            return
        }
        #expect(error.reason == .notReady)
    }

    @Test("names that no service can have are not asked for", arguments: ["cart_", "x-", "cart..", ".cart"])
    func names(name: String) throws {
        let exchanges = TestExchange(try self.directory([:]), ask: self.registry.ask)
        var exchange = try exchanges.make(["GET http://\(name)/ HTTP/1.1", "Host: \(name)"])
        guard case .fail = StageChain(try self.stages()).advance(&exchange) else {
            Issue.record("the request does not fail")
            return
        }
        #expect(self.registry.asked == [])
    }

    @Test("a gRPC call carries its caller's name in a field of its own too", arguments: [true, false])
    func source(isGRPC: Bool) throws {
        let text = isGRPC ? "grpc://10.0.0.1:80" : "rest://10.0.0.1:80"
        let exchanges = TestExchange(try self.directory(["default": text]))
        var exchange = try exchanges.make(["POST http://cart/ HTTP/1.1", "Host: cart", "X-Cse-Src-Microservice: evil"])
        exchange.isGRPC = isGRPC
        guard case .forward = StageChain(try self.stages()).advance(&exchange) else {
            Issue.record("the request is not sent")
            return
        }
        let names = exchange.requestHeaders.lines.filter { $0.0.lowercased() == "x-cse-src-microservice" }.map(\.1)
        #expect(names == [isGRPC ? "web" : "evil"])
    }
}
