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
                ExternalHosts.Rule("api.test", [ExternalHosts.Port(80, protocolName: "HTTP")]),
            ])
        #expect(Set(routes.externalHosts.keys) == ["*.example.org", "api.test"])
        #expect(state.wantedTables.isEmpty && state.wantedEndpoints.isEmpty)
        _ = state.take(clusters: [clusters[8]], removed: [], isWhole: false, at: NIODeadline.now())
        let again = maker.makeExternalHosts(state)
        #expect(again === routes)
        var other = HostMaker(app: "default")
        let none = other.makeExternalHosts(state)
        #expect(none == nil)
    }
}
