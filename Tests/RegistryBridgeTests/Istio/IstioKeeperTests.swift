// SPDX-License-Identifier: Apache-2.0

import Common
import FoundationEssentials
import IstioMessages
import NIOPosix
import SwiftProtobuf
import TLS
import TestSupport
import Testing

@testable import RegistryBridge

/// What the control plane is told to be held.
struct IstioKeeperTests {
    private func keeper() -> IstioKeeper {
        let mesh = Snapshot(Mesh(.empty, .plain), on: MultiThreadedEventLoopGroup.singleton)
        let node = NodeIdentity(environment: ["POD_NAMESPACE": "shop"], host: "web-0", address: nil)
        let logger = TestLog().logger
        let file = StateFile("istio", of: ["web"], in: "/proc/nowhere", type: "pb")
        return IstioKeeper(
            MeshPlace(namespace: "shop", domain: "cluster.local"), app: "shop", use: .everything, names: NameBook(),
            directory: TestPublisher().publisher, mesh: mesh, status: ControlPlaneStatus(),
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
}
