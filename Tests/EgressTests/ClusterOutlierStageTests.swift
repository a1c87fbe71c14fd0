// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import TestSupport
import Testing

@testable import Egress
@testable import Proxy

/// What tries say of the endpoints that a control plane has assigned to a cluster.
@Suite struct ClusterOutlierStageTests {
    /// Requests to a cluster of two endpoints.
    private struct World {
        let exchanges: TestExchange
        let service: Service
        let outliers: ClusterOutliers?
        let stage: LoadBalanceStage

        init(_ outliers: ClusterOutliers?, entries: [String] = ["rest://10.0.0.1:80", "rest://10.0.0.2:80"]) throws {
            var builder = ServiceDirectoryBuilder(upon: .empty, ownApp: "default")
            builder.addCluster("cart", entries.map { ClusterEntry($0) })
            let directory = builder.build()
            self.exchanges = TestExchange(directory)
            self.service = try #require(directory["cart"])
            self.outliers = outliers
            var reader = ConfigReader(ConfigStore([]))
            self.stage = LoadBalanceStage(
                own: OwnListeners(ListenerConfig(&reader), machine: []), limit: .seconds(1))
        }

        /// A try of the first endpoint that ends so.
        func end(
            _ outcome: Outcome, status: Int = 200, grpcStatus: Int? = nil, _ error: ProxyError.Reason? = nil
        ) throws {
            var exchange = try self.exchanges.make(["GET http://cart/ HTTP/1.1", "Host: cart"])
            let worker = exchange.worker
            let target = worker.state(of: self.service)
            var settings = ClusterSettings()
            settings.outliers = self.outliers
            let endpoints = self.service.defaultEndpoints
            exchange.target = target
            exchange.balancing.balancer = ClusterBalancer(
                endpoints, of: Cluster(name: "cart", .service("cart", InstanceTags()), settings: settings),
                self.service, near: RegionConfig(), target.policy.balancing,
                counters: worker.metrics.counters(.service("cart", app: "", version: "")), tickets: nil,
                tls: worker.tls, turn: BalancerTurn(RoundRobin(startingAt: 0)),
                loads: endpoints.endpoints.map { EndpointLoad($0, $0.traffic.shard(of: 0)) }, rings: nil,
                at: worker.now, using: &worker.random)
            exchange.outcome = outcome
            exchange.response.status = status
            exchange.attempt.grpcStatus = grpcStatus
            exchange.error = error.map { ProxyError($0) }
            self.stage.onFinish(&exchange)
        }

        /// Whether the first endpoint is ejected.
        func isEjected() throws -> Bool {
            let exchange = try self.exchanges.make(["GET / HTTP/1.1", "Host: cart"])
            let now = exchange.worker.now
            return self.service.defaultEndpoints.endpoints[0].health.isEjected(at: now)
        }
    }

    private static let always = {
        var outliers = ClusterOutliers()
        (outliers.consecutiveErrors, outliers.maxEjectedPercent) = (2, 100)
        return outliers
    }()

    @Test(
        "statuses count whoever else takes them for failures, and so does every call without an answer",
        arguments: [
            (.answered, 500, nil, nil, true), (.listedStatus, 503, nil, nil, true),
            (.unwantedStatus, 502, nil, nil, true), (.answered, 200, 0, nil, false),
            // Which only its trailers have said.
            (.answered, 200, 14, nil, false),
            (.listedStatus, 404, nil, nil, false), (.connectFailed, 0, nil, .connectFailed, true),
            (.upstreamFailed, 0, nil, .upstreamReset, true), (.upstreamFailed, 0, nil, .upstreamTimeout, true),
            (.clientFault, 0, nil, .clientGone, false), (.refused, 0, nil, .bulkheadFull, false),
        ] as [(Outcome, Int, Int?, ProxyError.Reason?, Bool)])
    func results(
        outcome: Outcome, status: Int, grpcStatus: Int?, error: ProxyError.Reason?, isEjected: Bool
    ) throws {
        let world = try World(Self.always)
        try world.end(outcome, status: status, grpcStatus: grpcStatus, error)
        #expect(try world.isEjected() == false)
        try world.end(outcome, status: status, grpcStatus: grpcStatus, error)
        #expect(try world.isEjected() == isEjected)
    }

    @Test("a success between failures ends the row, and no more than the share is ejected")
    func row() throws {
        let world = try World(Self.always)
        for status in [500, 200, 503, 404, 500] { try world.end(.answered, status: status) }
        #expect(try world.isEjected() == false)
        var few = Self.always
        few.maxEjectedPercent = 49
        let other = try World(few)
        for _ in 0..<6 { try other.end(.connectFailed, .connectFailed) }
        #expect(try other.isEjected() == false)
    }

    @Test("a cluster that says nothing of it ejects nobody")
    func none() throws {
        let world = try World(nil)
        for _ in 0..<12 { try world.end(.connectFailed, .connectFailed) }
        #expect(try world.isEjected() == false)
    }

    @Test("a request to a cluster without endpoints, or with ejected ones alone, finds no endpoint")
    func nobody() throws {
        let stages: (World) -> StageChain = { StageChain([TargetStage(service: $0.service), $0.stage]) }
        let empty = try World(nil, entries: [])
        let alone = try World(Self.always, entries: ["rest://10.0.0.1:80"])
        for _ in 0..<2 { try alone.end(.answered, status: 500) }
        #expect(try alone.isEjected())
        for world in [empty, alone] {
            for type in ["text/plain", "application/grpc"] {
                var exchange = try world.exchanges.make(["GET / HTTP/1.1", "Host: cart", "Content-Type: \(type)"])
                exchange.isGRPC = type == "application/grpc"
                guard case .fail(let error) = stages(world).advance(&exchange) else {
                    Issue.record("it goes somewhere")
                    continue
                }
                #expect(error.reason == .noEndpoint)
            }
        }
    }

    /// Says whom a request is for.
    private struct TargetStage: Stage {
        static let name = "target"
        let service: Service

        func onRequest(_ exchange: inout Exchange) -> Verdict {
            exchange.target = exchange.worker.state(of: self.service)
            return .proceed
        }
    }
}
