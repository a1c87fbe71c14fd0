// SPDX-License-Identifier: Apache-2.0

import Common
import Egress
import NIOCore
import TestSupport
import Testing

@testable import Proxy

/// Further tries where a route names the failures: which instance they go to, and what ends them.
@Suite struct RetryConditionsTests {
    private struct World {
        let exchanges: TestExchange
        let chain: StageChain

        init(_ count: Int, _ values: [String: String] = [:]) throws {
            let config = try TestSidecar.config(values)
            var reader = ConfigReader(ConfigStore([]))
            self.chain = StageChain(
                EgressStages(
                    config, own: OwnListeners(ListenerConfig(&reader), machine: []), resolver: HostResolver(),
                    token: HopToken(), marks: Marks(config.rules)
                ).inOrder)
            let endpoints = (1...count).map { "rest://10.0.0.\($0):80" }
            self.exchanges = TestExchange(
                try TestExchange.directory(instances: ["cart": endpoints]), MeshRules(config))
        }

        /// A request that would be sent.
        func begin(_ method: String = "POST", by retry: RouteRetry) throws -> Exchange {
            var exchange = try self.exchanges.make(["\(method) http://cart/ HTTP/1.1", "Host: cart"])
            if case .fail(let error) = self.chain.advance(&exchange) { exchange.error = error }
            exchange.effect = RouteEffect(RouteAction(retry: retry))
            return exchange
        }

        /// Ends the present try with a status, or with an error when there is one.
        ///
        /// - Returns: How long to wait for the next one, which has gone where it goes; `nil` when there is none.
        func fail(
            _ exchange: inout Exchange, status: Int = 503, _ error: ProxyError.Reason? = nil, wasSent: Bool = true
        ) -> Duration? {
            exchange.attempt.wasSent = wasSent
            exchange.hasWholeBody = true
            exchange.attempts += 1
            if let error {
                exchange.error = ProxyError(error)
                exchange.outcome = Outcome(ProxyError(error), hasHead: false)
            } else {
                exchange.response.status = status
                exchange.outcome = .unwantedStatus
            }
            guard let wait = self.chain.recover(&exchange) else { return nil }
            exchange.beginAttempt()
            if case .fail(let error) = self.chain.advance(&exchange) { exchange.error = error }
            return wait
        }
    }

    @Test("so many further tries, also of POST and beyond the budget, each with its wait")
    func tries() throws {
        let world = try World(4, ["mesher.retry.budgetPercent": "0"])
        for _ in 0..<40 {
            var exchange = try world.begin(by: RouteRetry(after: .serverError, retries: 3, avoidsTried: true))
            var hosts = [exchange.endpoint?.host]
            for longest in [25, 50, 100] {
                let wait = world.fail(&exchange)
                #expect(wait.map { $0 <= .milliseconds(longest) } == true)
                hosts.append(exchange.endpoint?.host)
            }
            let end = world.fail(&exchange)
            #expect(end == nil)
            #expect(Set(hosts).count == 4)
            world.chain.finish(&exchange)
        }
    }

    @Test("endpoints that have failed are avoided only where that is asked for")
    func tried() throws {
        let world = try World(1)
        var exchange = try world.begin(by: RouteRetry(after: .serverError, retries: 1, avoidsTried: true))
        // Nobody else is there.
        let again = world.fail(&exchange)
        let host = exchange.endpoint?.host
        #expect(again != nil && host == "10.0.0.1")
        world.chain.finish(&exchange)
        let two = try World(2, ["cse.loadbalance.strategy.name": "Random"])
        var hosts: Set<Bool> = []
        for _ in 0..<60 {
            var exchange = try two.begin(by: RouteRetry(after: .serverError, retries: 1, avoidsTried: false))
            let first = exchange.endpoint?.host
            _ = two.fail(&exchange)
            hosts.insert(exchange.endpoint?.host == first)
            two.chain.finish(&exchange)
        }
        #expect(hosts == [false, true])
    }

    @Test(
        "a failure is repeated when it is one of those that are named",
        arguments: [
            (.connectFailure, .connectFailed, false, true), (.connectFailure, .upstreamReset, true, false),
            (.reset, .upstreamReset, true, true), (.reset, .upstreamTimeout, true, true),
            (.resetBeforeRequest, .upstreamReset, true, false), (.resetBeforeRequest, .upstreamReset, false, true),
            (.serverError, .upstreamTimeout, true, true), (.gatewayError, .badUpstreamResponse, true, true),
            (.refusedStream, .upstreamReset, true, false), (.serverError, .clientGone, true, false),
            (.serverError, .bulkheadFull, false, false), (.serverError, .noEndpoint, false, false),
        ] as [(RetryConditions, ProxyError.Reason, Bool, Bool)])
    func failures(conditions: RetryConditions, error: ProxyError.Reason, wasSent: Bool, isRepeated: Bool) throws {
        let world = try World(2)
        var exchange = try world.begin(by: RouteRetry(after: conditions, retries: 1, avoidsTried: true))
        let wait = world.fail(&exchange, error, wasSent: wasSent)
        #expect((wait != nil) == isRepeated)
        world.chain.finish(&exchange)
    }

    @Test("a stream that was refused is repeated where that is named, and a status only by its condition")
    func refused() throws {
        let world = try World(2)
        var exchange = try world.begin(by: RouteRetry(after: .refusedStream, retries: 2, avoidsTried: true))
        exchange.attempt.isUnseen = true
        let wait = world.fail(&exchange, .upstreamReset)
        #expect(wait != nil)
        let other = world.fail(&exchange, status: 503)
        #expect(other == nil)
        world.chain.finish(&exchange)
    }

    @Test("the retries of a cluster are limited, and given back")
    func limit() throws {
        let world = try World(
            2,
            [
                "mesh.clusters": "- {name: all, service: cart, limits: {retries: 1}}",
                "mesh.hosts": "- {name: shop, domains: [cart], routes: [{targets: [{cluster: all}]}]}",
            ])
        let retry = RouteRetry(after: .serverError, retries: 2, avoidsTried: true)
        var first = try world.begin(by: retry)
        var second = try world.begin(by: retry)
        let wait = world.fail(&first)
        let refused = world.fail(&second)
        #expect(wait != nil && refused == nil)
        world.chain.finish(&first)
        let free = world.fail(&second)
        #expect(free != nil)
        world.chain.finish(&second)
    }
}
