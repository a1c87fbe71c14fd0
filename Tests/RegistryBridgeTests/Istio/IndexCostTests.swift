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

/// What it costs to know who is at each address of a large mesh.
@Suite struct IndexCostTests {
    private static let services = 1_000
    private static let endpoints = 20

    private static func name(_ service: Int) -> String { "outbound|80||s\(service).shop.svc.cluster.local" }

    private static func assignment(_ service: Int, port: UInt32 = 8080) throws -> ResourceUpdate.Resource {
        var group = XDSLocalityLbEndpoints()
        group.lbEndpoints = (0..<Self.endpoints).map { number in
            .with { endpoint in
                let place = service * Self.endpoints + number
                endpoint.endpoint.address.socketAddress = .with {
                    $0.address = "10.\(place >> 16).\(place >> 8 & 255).\(place & 255)"
                    // One of them moves.
                    $0.portValue = number == 0 ? port : 8080
                }
            }
        }
        let message = XDSClusterLoadAssignment.with {
            $0.clusterName = Self.name(service)
            $0.endpoints = [group]
        }
        return .init(
            name: Self.name(service), version: "\(port)", typeURL: ResourceKind.endpoints.typeURL,
            bytes: try message.serializedData())
    }

    private static func cluster(_ service: Int) throws -> ResourceUpdate.Resource {
        let message = XDSCluster.with {
            $0.name = Self.name(service)
            $0.edsClusterConfig = XDSCluster.EdsClusterConfig()
            $0.type = .eds
        }
        return .init(
            name: message.name, version: "1", typeURL: ResourceKind.cluster.typeURL,
            bytes: try message.serializedData())
    }

    @Test("endpoints of one service, or all clusters again, take a fraction of what all endpoints have taken")
    func change() async throws {
        let (publisher, logger) = (TestPublisher(), TestLog().logger)
        let node = NodeIdentity(environment: ["POD_NAMESPACE": "shop"], host: "web-0", address: nil)
        let keeper = IstioKeeper(
            MeshPlace(namespace: "shop", domain: "cluster.local"), app: "shop",
            part: .init(.everything, isIndexing: true), names: NameBook(), directory: publisher.publisher,
            mesh: Snapshot(Mesh(.empty, .plain), on: MultiThreadedEventLoopGroup.singleton),
            status: ControlPlaneStatus(), secrets: MeshSecrets(identity: nil),
            cache: ControlPlaneCache(
                StateFile("istio", of: ["web"], in: "/proc/nowhere", type: "pb"), servers: [], node: node,
                logger: logger), unsaved: {}, logger: logger)
        func owner(_ service: Int) -> Service? {
            let place = service * Self.endpoints
            guard
                let socket = try? SocketAddress(
                    ipAddress: "10.\(place >> 16).\(place >> 8 & 255).\(place & 255)", port: 0),
                let address = IPAddress(socket), case .one(let owner, _)? = publisher.current.owner(of: address)
            else { return nil }
            return owner
        }
        let clusters = try (0..<Self.services).map { try Self.cluster($0) }
        let assignments = try (0..<Self.services).map { try Self.assignment($0) }
        let changes = try (0..<20).map { try Self.assignment(50, port: UInt32(9000 + $0)) }
        func take(_ resources: [ResourceUpdate.Resource], _ kind: ResourceKind) async {
            let update = ResourceUpdate(kind: kind, resources: resources, removed: [], isWhole: kind == .cluster)
            #expect(await keeper.take(update) == [])
        }
        let clock = ContinuousClock()
        await take(clusters, .cluster)
        let all = await clock.measure { await take(assignments, .endpoints) }
        let before = [50, 51].map { owner($0) }
        #expect(before.map { $0?.name } == ["s50", "s51"])
        let one = await clock.measure { for change in changes { await take([change], .endpoints) } }
        #expect(one < all, "\(changes.count) changes: \(one), everything: \(all)")
        #expect(owner(51) === before[1] && owner(50) !== before[0] && owner(50)?.instances.count == Self.endpoints)
        let again = await clock.measure { await take(clusters, .cluster) }
        #expect(again < all, "all clusters again: \(again), everything: \(all)")
        #expect(owner(51) === before[1])
    }
}
