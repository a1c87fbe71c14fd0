// SPDX-License-Identifier: Apache-2.0

import Common
import IstioMessages
import SwiftProtobuf
import Testing

@testable import RegistryBridge

/// What clusters of the control plane become.
struct HeldClusterTests {
    private static func settings(_ edit: (inout XDSCluster) throws -> Void) throws -> (ClusterSettings, gaps: [String])
    {
        var cluster = XDSCluster()
        cluster.name = "c"
        cluster.type = .static
        try edit(&cluster)
        let held = try HeldCluster(cluster)
        return (held.settings, held.gaps)
    }

    @Test(
        "the first policy that is known counts more than the old field",
        arguments: [
            (["round_robin.v3.RoundRobin"], BalancingPolicy.Strategy.roundRobin),
            (["nobody.v1.Nobody", "random.v3.Random"], .random),
            (["least_request.v3.LeastRequest", "random.v3.Random"], .leastRequest), (["maglev.v3.Maglev"], .maglev),
        ])
    func policies(types: [String], strategy: BalancingPolicy.Strategy) throws {
        let (settings, gaps) = try Self.settings { cluster in
            cluster.lbPolicy = .random
            cluster.loadBalancingPolicy.policies = types.map { type in
                var policy = XDSLoadBalancingPolicy.Policy()
                policy.typedExtensionConfig.typedConfig.typeURL =
                    "type.googleapis.com/envoy.extensions.load_balancing_policies.\(type)"
                return policy
            }
        }
        #expect(settings.strategy == strategy)
        #expect(gaps.isEmpty)
    }

    @Test("without a policy that is known, endpoints are called in turn, and that is told")
    func unknownPolicy() throws {
        let (settings, gaps) = try Self.settings { cluster in
            cluster.lbPolicy = .random
            var policy = XDSLoadBalancingPolicy.Policy()
            policy.typedExtensionConfig.name = "test.nobody"
            cluster.loadBalancingPolicy.policies = [policy]
        }
        #expect(settings.strategy == .roundRobin)
        #expect(gaps.count == 1 && gaps[0].contains("test.nobody"))
    }

    @Test("there may always be one connection")
    func noConnections() throws {
        let (settings, _) = try Self.settings { cluster in
            var thresholds = XDSCircuitBreakers.Thresholds()
            thresholds.maxConnections.value = 0
            cluster.circuitBreakers.thresholds = [thresholds]
        }
        #expect(settings.maxConnections == 1)
    }

    @Test("a retry budget has Envoy's defaults, and goes by what is under way")
    func budget() throws {
        let (settings, _) = try Self.settings { cluster in
            var thresholds = XDSCircuitBreakers.Thresholds()
            thresholds.retryBudget = .init()
            cluster.circuitBreakers.thresholds = [thresholds]
        }
        let budget = try #require(settings.retryBudget)
        #expect(budget == ClusterRetryBudget(percent: 20, least: 3))
        #expect([0, 15, 19, 20, 100].map { budget.most(of: $0) } == [3, 3, 3, 4, 20])
    }

    @Test("how long connections are used, and whether they follow the client")
    func connections() throws {
        var options = XDSHttpProtocolOptions()
        options.useDownstreamProtocolConfig = .init()
        options.commonHTTPProtocolOptions.idleTimeout = .init(seconds: 5)
        options.commonHTTPProtocolOptions.maxRequestsPerConnection.value = 1
        options.commonHTTPProtocolOptions.maxConnectionDuration = .init(seconds: 5)
        var cluster = XDSCluster()
        cluster.name = "c"
        cluster.type = .static
        let key = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
        #expect(try HeldCluster(cluster).gaps.isEmpty)
        var any = Google_Protobuf_Any()
        any.value = try options.serializedBytes()
        cluster.typedExtensionProtocolOptions[key] = any
        let held = try HeldCluster(cluster)
        #expect(held.settings.life == ConnectionLife(requests: 1, idle: .seconds(5), age: .seconds(5)))
        #expect(held.settings.followsClient)
        #expect(held.gaps.isEmpty)
    }

    @Test("what Istio up to 1.9 says of connections stands in the cluster itself")
    func connectionsOfOldClusters() throws {
        let (settings, gaps) = try Self.settings { cluster in
            cluster.http2ProtocolOptions.maxConcurrentStreams.value = 7
            cluster.protocolSelection = .useDownstreamProtocol
            cluster.commonHTTPProtocolOptions.idleTimeout = .init(seconds: 5)
            cluster.commonHTTPProtocolOptions.maxStreamDuration = .init(seconds: 5)
        }
        #expect(settings.followsClient && !settings.isHTTP2)
        #expect(settings.life == ConnectionLife(idle: .seconds(5), streams: 7))
        #expect(gaps.count == 1 && gaps[0].contains("max_stream_duration"))
    }

    @Test("no requests and no time are no limits; the older field of a cluster counts too")
    func connectionsWithoutEnd() throws {
        var (settings, gaps) = try Self.settings { cluster in
            cluster.maxRequestsPerConnection.value = 7
            var options = XDSHttpProtocolOptions()
            options.commonHTTPProtocolOptions.idleTimeout = .init()
            options.commonHTTPProtocolOptions.maxConnectionDuration = .init()
            options.autoConfig = .init()
            var any = Google_Protobuf_Any()
            any.value = try options.serializedBytes()
            cluster.typedExtensionProtocolOptions["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"] = any
        }
        #expect(settings.life == ConnectionLife(requests: 7, idle: .zero))
        #expect(gaps.count == 1 && gaps[0].contains("auto_config"))
        settings = try Self.settings { $0.maxRequestsPerConnection.value = 0 }.0
        #expect(settings.life == ConnectionLife())
    }
}
