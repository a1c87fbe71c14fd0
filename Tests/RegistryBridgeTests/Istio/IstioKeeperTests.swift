// SPDX-License-Identifier: Apache-2.0

import Common
import FoundationEssentials
import IstioMessages
import NIOCore
import NIOPosix
import SwiftProtobuf
import TLS
import TestSupport
import Testing

@testable import RegistryBridge

/// What the control plane is told to be held.
struct IstioKeeperTests {
    private func keeper(
        _ part: IstioRegistry.Part = .init(.everything), _ publisher: TestPublisher = TestPublisher()
    ) -> IstioKeeper {
        let mesh = Snapshot(Mesh(.empty, .plain), on: MultiThreadedEventLoopGroup.singleton)
        let node = NodeIdentity(environment: ["POD_NAMESPACE": "shop"], host: "web-0", address: nil)
        let logger = TestLog().logger
        let file = StateFile("istio", of: ["web"], in: "/proc/nowhere", type: "pb")
        return IstioKeeper(
            MeshPlace(namespace: "shop", domain: "cluster.local"), app: "shop", part: part,
            names: NameBook(),
            directory: publisher.publisher, mesh: mesh, status: ControlPlaneStatus(),
            secrets: MeshSecrets(identity: nil),
            cache: ControlPlaneCache(file, servers: [], node: node, logger: logger), unsaved: {}, logger: logger)
    }

    private func update(_ kind: ResourceKind, _ names: [String], removed: [String] = []) -> ResourceUpdate {
        let resources = names.map { name in
            let bytes =
                switch kind {
                case .cluster:
                    try? XDSCluster.with {
                        $0.name = name
                        $0.edsClusterConfig = XDSCluster.EdsClusterConfig()
                        $0.type = .eds
                    }.serializedData()
                case .endpoints: try? XDSClusterLoadAssignment.with { $0.clusterName = name }.serializedData()
                case .route: try? XDSRouteConfiguration.with { $0.name = name }.serializedData()
                }
            return ResourceUpdate.Resource(name: name, version: "1", typeURL: kind.typeURL, bytes: bytes ?? Data())
        }
        return ResourceUpdate(kind: kind, resources: resources, removed: removed, isWhole: false)
    }

    @Test("only what is held, and all that is")
    func versions() async {
        let keeper = self.keeper()
        #expect(await keeper.take(self.update(.cluster, ["a", "b"])) == [])
        await keeper.want([ServiceDemand(app: "shop", name: "a")])
        #expect(await keeper.take(self.update(.endpoints, ["a", "b", "nobody"])) == [])
        #expect(await keeper.take(self.update(.route, ["80"])) == [])
        #expect(await keeper.held(.cluster) == ["a": "1", "b": "1"])
        #expect(await keeper.held(.endpoints) == ["a": "1"], "nobody has asked for others")
        #expect(await keeper.held(.route) == [:])
        _ = await keeper.take(self.update(.endpoints, [], removed: ["a"]))
        #expect(await keeper.held(.endpoints) == ["a": "1"], "it serves on")
        _ = await keeper.take(self.update(.cluster, [], removed: ["a"]))
        #expect(await keeper.held(.cluster) == ["b": "1"])
    }

    @Test("with an index, the endpoints of all services tell who is at an address, and which version")
    func addresses() async {
        let publisher = TestPublisher()
        let keeper = self.keeper(.init(.everything, isIndexing: true), publisher)
        let (cart, other) = ("outbound|80||cart.shop.svc.cluster.local", "outbound|8080||stock.other.svc.cluster.local")
        let ports = "outbound|81||cart.shop.svc.cluster.local"
        _ = await keeper.take(
            self.update(.cluster, [cart, ports, other, "outbound|80|v1|cart.shop.svc.cluster.local"]))
        func assignment(_ name: String, _ places: [(String, UInt32)]) -> ResourceUpdate.Resource {
            var group = XDSLocalityLbEndpoints()
            group.lbEndpoints = places.map { address, port in
                .with {
                    $0.endpoint.address.socketAddress.address = address
                    $0.endpoint.address.socketAddress.portValue = port
                    $0.metadata.filterMetadata["istio"] = .with {
                        $0.fields["workload"] = .with { $0.stringValue = "w;shop;w;v2;Kubernetes" }
                    }
                }
            }
            let message = XDSClusterLoadAssignment.with {
                $0.clusterName = name
                $0.endpoints = [group]
            }
            let bytes = (try? message.serializedData()) ?? Data()
            return .init(name: name, version: "1", typeURL: ResourceKind.endpoints.typeURL, bytes: bytes)
        }
        let told = [
            assignment(cart, [("10.0.0.1", 80), ("10.0.0.9", 80)]), assignment(ports, [("10.0.0.1", 81)]),
            assignment(other, [("10.0.0.2", 80), ("10.0.0.9", 8080)]),
        ]
        #expect(await keeper.take(.init(kind: .endpoints, resources: told, removed: [], isWhole: false)) == [])
        func owner(_ text: String) -> String? {
            guard let address = (try? SocketAddress(ipAddress: text, port: 0)).flatMap({ IPAddress($0) }) else {
                return "no address"
            }
            switch publisher.current.owner(of: address) {
            case .one(let service, let instance): return "\(service.name) \(instance.version)"
            case .several: return "several"
            case nil: return nil
            }
        }
        #expect(owner("10.0.0.1") == "cart v2")
        #expect(owner("10.0.0.2") == "stock.other v2")
        #expect(owner("10.0.0.9") == "several")
        #expect(owner("10.0.0.3") == nil)
        _ = await keeper.take(self.update(.cluster, [], removed: [other]))
        #expect(owner("10.0.0.2") == nil)
        #expect(owner("10.0.0.9") == "cart v2")
    }
}
