// SPDX-License-Identifier: Apache-2.0

import Common
import IstioMessages
import NIOCore
import SwiftProtobuf
import Testing

@testable import RegistryBridge

struct IstioExternalHostTests {
    private static func cluster(_ name: String, _ edit: (inout XDSCluster) -> Void = { _ in }) throws
        -> ResourceUpdate.Resource
    {
        var cluster = XDSCluster()
        cluster.name = name
        cluster.type = .eds
        cluster.edsClusterConfig = XDSCluster.EdsClusterConfig()
        edit(&cluster)
        return .init(
            name: nil, version: "", typeURL: ResourceKind.cluster.typeURL, bytes: try cluster.serializedData())
    }

    @Test("hosts outside the mesh are those that are found by their own names")
    func externalHosts() throws {
        var state = IstioState(
            MeshPlace(namespace: "shop", domain: "cluster.local"), app: "default", use: .externalHosts)
        func at(_ host: String, _ port: UInt32) -> (inout XDSCluster) -> Void {
            {
                $0.type = .strictDns
                $0.hosts = [
                    .with { ($0.socketAddress.address, $0.socketAddress.portValue) = (host, port) }
                ]
            }
        }
        let clusters = try [
            Self.cluster("outbound|443||*.example.org") { $0.type = .originalDst },
            Self.cluster("outbound|80||*.example.org") { $0.type = .originalDst },
            Self.cluster("outbound|80|v1|*.example.org") { $0.type = .originalDst },
            Self.cluster("outbound|80||api.test", at("api.test", 80)),
            Self.cluster("outbound|81||api.test", at("api.test", 8081)),
            Self.cluster("outbound|80||moved.test", at("other.test", 80)),
            Self.cluster("outbound|80||named.shop.svc.cluster.local", at("named.shop.svc.cluster.local", 80)),
            Self.cluster("outbound|80||no_host") { $0.type = .originalDst },
            Self.cluster("outbound|80||cart.shop.svc.cluster.local"),
            Self.cluster("PassthroughCluster") { $0.type = .originalDst },
        ]
        var maker = HostMaker(app: "default", tellsExternalHosts: true)
        let before = maker.makeExternalHosts(state)
        #expect(before?.external == [], "nothing may be called yet")
        #expect(state.take(clusters: clusters, removed: [], isWhole: true, at: NIODeadline.now()) == [])
        let made = maker.makeExternalHosts(state)
        let routes = try #require(made)
        #expect(
            routes.external == [
                ExternalHosts.Rule(
                    "*.example.org",
                    [ExternalHosts.Port(80, protocolName: "HTTP"), ExternalHosts.Port(443, protocolName: "HTTPS")]),
                ExternalHosts.Rule(
                    "api.test",
                    [
                        ExternalHosts.Port(80, protocolName: "HTTP"),
                        ExternalHosts.Port(
                            81, protocolName: "HTTP", places: [.init("api.test", 8081)], besides: "api.test:81"),
                    ]),
                ExternalHosts.Rule(
                    "moved.test",
                    [
                        ExternalHosts.Port(
                            80, protocolName: "HTTP", places: [.init("other.test", 80)], besides: "moved.test:80")
                    ]),
            ])
        #expect(Set(routes.externalHosts.keys) == ["*.example.org", "api.test", "moved.test"])
        #expect(state.wantedTables.isEmpty && state.wantedEndpoints.isEmpty)
        _ = state.take(clusters: [clusters[8]], removed: [], isWhole: false, at: NIODeadline.now())
        let again = maker.makeExternalHosts(state)
        #expect(again === routes)
        var other = HostMaker(app: "default")
        let none = other.makeExternalHosts(state)
        #expect(none == nil)
    }

    @Test("the endpoints of a host outside the mesh are asked for, and are where it is as soon as they are known")
    func ownEndpoints() throws {
        var state = IstioState(
            MeshPlace(namespace: "shop", domain: "cluster.local"), app: "default", tellsExternalHosts: true)
        var maker = HostMaker(app: "default", tellsExternalHosts: true)
        let name = "outbound|443||Static.test"
        let clusters = try [Self.cluster(name), Self.cluster("outbound|80||cart.shop.svc.cluster.local")]
        #expect(state.take(clusters: clusters, removed: [], isWhole: true, at: NIODeadline.now()) == [])
        #expect(state.wantedEndpoints == [name])
        #expect(maker.makeExternalHosts(state)?.external == [])
        func take(_ endpoints: [(address: String, priority: UInt32, status: XDSLbEndpoint.HealthStatus)]) throws {
            let message = XDSClusterLoadAssignment.with { message in
                message.clusterName = name
                message.endpoints = endpoints.map { each in
                    .with { group in
                        group.priority = each.priority
                        group.lbEndpoints = [
                            .with {
                                $0.endpoint.address.socketAddress.address = each.address
                                $0.endpoint.address.socketAddress.portValue = 8443
                                $0.healthStatus = each.status
                                $0.loadBalancingWeight.value = 3
                            }
                        ]
                    }
                }
            }
            let resource = ResourceUpdate.Resource(
                name: nil, version: "", typeURL: ResourceKind.endpoints.typeURL, bytes: try message.serializedData())
            #expect(state.take(assignments: [resource], removed: []) == [])
        }
        try take([
            ("10.0.0.1", 0, .unhealthy), ("10.0.0.2", 1, .unknown), ("fd00::3", 1, .healthy), ("10.0.0.4", 2, .healthy),
        ])
        let rules = maker.makeExternalHosts(state)?.external
        #expect(rules?.map(\.pattern) == ["static.test"])
        let port = try #require(rules?.first?.port(443))
        #expect(port.places == [.init("10.0.0.2", 8443, weight: 3), .init("fd00::3", 8443, weight: 3)])
        #expect(port.virtualHost == "Static.test:443")
        try take([])
        #expect(maker.makeExternalHosts(state)?.external?.first?.port(443)?.places == [])
        _ = state.take(clusters: [], removed: [name], isWhole: false, at: NIODeadline.now())
        #expect(maker.makeExternalHosts(state)?.external == [] && state.wantedEndpoints.isEmpty)
    }
}
