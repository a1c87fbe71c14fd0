// SPDX-License-Identifier: Apache-2.0

import Common
import Egress
import NIOCore
import Proxy
import TestSupport
import Testing

/// The choice of an instance in the chain: what a request, its answer and its failure make of it.
@Suite struct BalancingTests {
    private static let key = "cse.loadbalance.strategy.name"

    /// Requests to a service at 10.0.0.1 and so on.
    private struct World {
        let exchanges: TestExchange
        let chain: StageChain
        let log = TestLog()

        init(
            _ endpoints: [String], _ values: [String: String] = [:], listeners: [String: String] = [:]
        ) throws {
            let config = try TestSidecar.config(values)
            var source = ConfigSource(.memory)
            for (key, value) in listeners { source.add(key, .text(value, ConfigLocation("test"))) }
            var reader = ConfigReader(ConfigStore([source]))
            let stages = EgressStages(
                config, own: OwnListeners(ListenerConfig(&reader), machine: []), resolver: HostResolver(),
                token: HopToken(), marks: Marks(config.rules))
            self.chain = StageChain(stages.inOrder)
            self.exchanges = TestExchange(
                try TestExchange.directory(instances: ["cart": endpoints]), MeshRules(config),
                logger: self.log.logger)
        }

        /// A request that has got so far that it would be sent.
        func ask(_ fields: [String] = [], failed: [Endpoint] = []) throws -> Exchange {
            var exchange = try self.exchanges.make(["GET http://cart/ HTTP/1.1", "Host: cart"] + fields)
            exchange.balancing.failed = failed
            if case .fail(let error) = self.chain.advance(&exchange) { exchange.error = error }
            return exchange
        }

        /// The port of the instance that a request is sent to when some have failed it.
        func port(failed: [Endpoint]) throws -> Int? { try self.ask(failed: failed).endpoint?.port }

        /// The ports of the instances that so many requests were sent to, and how often.
        func ports(_ count: Int) throws -> [Int: Int] {
            var ports: [Int: Int] = [:]
            for _ in 0..<count {
                var exchange = try self.ask()
                ports[exchange.endpoint?.port ?? 0, default: 0] += 1
                self.chain.finish(&exchange)
            }
            return ports
        }
    }

    @Test(
        "a session sticks to its instance, also where a stage moves requests to another port", arguments: [false, true])
    func sessions(isMoved: Bool) throws {
        let chain = "loadbalance,\(isMoved ? "port-selector," : "")transport"
        let world = try World(
            ["rest://10.0.0.1:80", "rest://10.0.0.2:80", "rest://10.0.0.3:80"],
            [Self.key: "SessionStickiness", "cse.handler.chain.Consumer.outgoing": chain])
        for _ in 0..<3 {
            var first = try world.ask()
            first.outcome = .answered
            world.chain.respond(&first)
            let (line, endpoint) = (first.responseHeaders.string(of: .setCookie), first.endpoint)
            world.chain.finish(&first)
            let cookie = try #require(line)
            #expect(endpoint?.port == (isMoved ? 30_101 : 80))
            for _ in 0..<4 {
                var next = try world.ask(["Cookie: \(cookie)"])
                let host = next.endpoint?.host
                #expect(host == endpoint?.host)
                next.outcome = .answered
                world.chain.respond(&next)
                let again = next.responseHeaders.string(of: .setCookie)
                #expect(again == nil)
                world.chain.finish(&next)
            }
        }
    }

    @Test("a session goes to a drained instance as before, and leaves a disabled one")
    func operators() throws {
        let world = try World(
            ["rest://10.0.0.1:1", "rest://10.0.0.1:2", "rest://10.0.0.1:3"], [Self.key: "SessionStickiness"])
        var first = try world.ask()
        first.outcome = .answered
        world.chain.respond(&first)
        let line = first.responseHeaders.string(of: .setCookie)
        let endpoint = try #require(first.balancing.balancer?.set.endpoints[first.balancing.index])
        world.chain.finish(&first)
        let cookie = "Cookie: \(try #require(line))"
        endpoint.health.set(.draining)
        for _ in 0..<6 {
            var sticky = try world.ask([cookie])
            let port = sticky.endpoint?.port
            world.chain.finish(&sticky)
            #expect(port == endpoint.port)
        }
        #expect(try world.ports(30)[endpoint.port] == nil)
        endpoint.health.set(.disabled)
        var moved = try world.ask([cookie])
        let port = moved.endpoint?.port
        #expect(port != nil && port != endpoint.port)
        moved.outcome = .answered
        world.chain.respond(&moved)
        world.chain.finish(&moved)
        endpoint.health.set(nil)
        var next = try world.ask([cookie])
        let stays = next.endpoint?.port
        world.chain.finish(&next)
        #expect(stays == port, "it has found another one")
    }

    @Test("nothing makes up for instances that an operator withholds: not failures of others, not a retry")
    func withheld() throws {
        let world = try World(["rest://10.0.0.1:1", "rest://10.0.0.1:2"])
        var probe = try world.ask()
        let balancer = probe.balancing.balancer
        world.chain.finish(&probe)
        let endpoints = try #require(balancer?.set.endpoints)
        endpoints[0].health.set(.disabled)
        #expect(try world.ports(10) == [2: 10])
        #expect(try world.port(failed: [endpoints[1]]) == 2)
        endpoints[1].health.set(.draining)
        let none = try world.ask()
        let (reason, text) = (none.error?.reason, none.error?.text)
        #expect(reason == .noEndpoint && text?.hasSuffix(": an operator has disabled or drained them") == true)
        // One that is to be tried once more is not, when it has been disabled meanwhile.
        endpoints[0].health.set(nil)
        endpoints[1].health.set(.disabled)
        var again = try world.exchanges.make(["GET http://cart/ HTTP/1.1", "Host: cart"])
        again.balancing.balancer = balancer
        again.balancing.index = 1
        again.balancing.staysOnSame = true
        if case .fail(let error) = world.chain.advance(&again) { again.error = error }
        let (index, port, stays) = (again.balancing.index, again.endpoint?.port, again.balancing.staysOnSame)
        world.chain.finish(&again)
        #expect(index == 0 && port == 1 && !stays)
    }

    @Test(
        "whoever fails at once is not taken for the fastest",
        arguments: [("PeakEWMA", Outcome.connectFailed), ("PeakEWMA", .upstreamFailed), ("PeakEWMA", .listedStatus)])
    func failures(strategy: String, outcome: Outcome) throws {
        let world = try World(
            ["rest://10.0.0.1:1", "rest://10.0.0.1:2", "rest://10.0.0.1:3"],
            [
                Self.key: strategy, "mesher.outlier.consecutiveErrors": "0",
                "mesher.outlier.consecutiveConnectFailures": "0",
            ])
        var counts: [Int: Int] = [:]
        for _ in 0..<2_000 {
            var exchange = try world.ask()
            let port = exchange.endpoint?.port ?? 0
            counts[port, default: 0] += 1
            if port == 2 {
                exchange.outcome = outcome
                exchange.attempt.isFailure = outcome == .listedStatus
                if outcome == .listedStatus { world.chain.respond(&exchange) }
            } else {
                exchange.outcome = .answered
                world.chain.respond(&exchange)
            }
            world.chain.finish(&exchange)
        }
        #expect(counts[2, default: 0] < 20, "\(counts)")
        #expect(abs(counts[1, default: 0] - counts[3, default: 0]) < 400, "\(counts)")
    }

    @Test("the log tells when an instance is left out, and when its time is over")
    func ejection() throws {
        let world = try World(["rest://10.0.0.1:1", "rest://10.0.0.1:2"], ["mesher.outlier.baseEjectionTime": "10s"])
        for _ in 0..<8 {
            var exchange = try world.ask()
            let isGood = exchange.endpoint?.port == 1
            exchange.outcome = isGood ? .answered : .connectFailed
            if isGood { world.chain.respond(&exchange) }
            world.chain.finish(&exchange)
        }
        let wherefrom = "endpoint=rest://10.0.0.1:2 service=cart"
        let left = "notice instance left out: it has failed again and again \(wherefrom)"
        func notices() -> [String] { world.log.lines.filter { $0.hasPrefix("notice") } }
        #expect(notices() == [left])
        world.exchanges.pass(.milliseconds(9_900))
        #expect(notices() == [left])
        world.exchanges.pass(.milliseconds(200))
        #expect(notices() == [left, "notice instance no longer left out: its time is over \(wherefrom)"])
    }

    @Test(
        "an instance that is the sidecar itself is left out, with one warning",
        arguments: BalancingPolicy.Strategy.allCases)
    func itself(strategy: BalancingPolicy.Strategy) throws {
        let world = try World(
            ["rest://10.1.2.3:1", "rest://127.0.0.1:30101", "rest://10.1.2.3:2", "rest://10.1.2.3:3"],
            [Self.key: strategy.rawValue], listeners: ["cse.protocols.http.listenAddress": "127.0.0.1:30101"])
        let ports = try world.ports(600)
        #expect(Set(ports.keys) == [1, 2, 3] && ports.values.allSatisfy { 100...300 ~= $0 }, "\(ports)")
        let warnings = world.log.lines.filter { $0.hasPrefix("warning") }
        #expect(
            warnings == [
                "warning instance left out: it is this sidecar itself endpoint=rest://127.0.0.1:30101 service=cart"
            ])
    }

    @Test("rather an instance that has failed than the sidecar itself; nothing when there is nobody else")
    func nobodyElse() throws {
        let own = "rest://127.0.0.1:30101"
        let listeners = ["cse.protocols.http.listenAddress": "127.0.0.1:30101"]
        let world = try World(["rest://10.1.2.3:1", own, "rest://10.1.2.3:2"], listeners: listeners)
        var probe = try world.ask()
        let balancer = probe.balancing.balancer
        let now = probe.worker.now
        world.chain.finish(&probe)
        let endpoints = try #require(balancer?.set.endpoints)
        let settings = OutlierSettings(consecutiveErrors: 1, maxEjectedPercent: 100)
        #expect(endpoints[0].health.failed(.response, at: now, settings: settings) { true })
        #expect(try world.ports(10) == [2: 10])
        #expect(endpoints[2].health.failed(.response, at: now, settings: settings) { true })
        #expect(Set(try world.ports(20).keys) == [1, 2])
        #expect(try world.port(failed: [endpoints[0]]) == 2)
        let alone = try World([own], listeners: listeners).ask()
        let (reason, endpoint) = (alone.error?.reason, alone.endpoint)
        #expect(reason == .destinationRefused && endpoint == nil)
    }
}
