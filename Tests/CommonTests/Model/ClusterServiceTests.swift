// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Common

@Suite struct ClusterServiceTests {
    private static let name = "outbound|8080|v1|cart.shop.svc.cluster.local"

    private static func directory(
        _ entries: [ClusterEntry], upon old: ServiceDirectory = .empty, weights: [LocalityWeight] = []
    ) -> ServiceDirectory {
        var builder = ServiceDirectoryBuilder(upon: old, ownApp: "shop")
        builder.addCluster(Self.name, entries, localityWeights: weights)
        return builder.build()
    }

    private static func identities(_ service: Service) -> [ObjectIdentifier] {
        service.defaultEndpoints.endpoints.map { ObjectIdentifier($0) }
    }

    @Test("the endpoints of a cluster are those that were assigned, whatever instances are asked to be")
    func endpoints() throws {
        let entries = [
            ClusterEntry("rest://10.0.0.1:80", weight: 3), ClusterEntry("grpc://10.0.0.2:80", priority: 1),
            ClusterEntry("rest://10.0.0.3:80", condition: .unhealthy),
        ]
        let service = try #require(Self.directory(entries)[Self.name])
        #expect(service.kind == .cluster && service.defaultEndpoints.entries == entries)
        #expect(service.defaultEndpoints.endpoints.map(\.description) == entries.map(\.endpoint))
        for tags in [InstanceTags(), InstanceTags(version: "2", app: "x", properties: ["a": "b"])] {
            let set = service.endpoints(matching: tags, ownApp: "shop", protocolName: "grpc")
            #expect(set === service.defaultEndpoints)
        }
        #expect(service.instances.map(\.status) == [.up, .up, .down])
    }

    @Test("an entry whose endpoint is none is told and left out, and the others stay")
    func refusals() {
        var builder = ServiceDirectoryBuilder(upon: .empty, ownApp: "shop")
        let bad = ClusterEntry("rest://no address:80")
        let refused = builder.addCluster(Self.name, [bad, ClusterEntry("rest://10.0.0.1:80")])
        #expect(refused == [bad])
        #expect(builder.build()[Self.name]?.defaultEndpoints.endpoints.map(\.url) == ["rest://10.0.0.1:80"])
    }

    @Test("what has not changed is the same object; a changed weight keeps the endpoints")
    func identity() throws {
        let one = ClusterEntry("rest://10.0.0.1:80")
        let other = ClusterEntry("rest://[::1]:80?sslEnabled=true")
        let first = Self.directory([one, other])
        let same = Self.directory([one, other], upon: first)
        let old = try #require(first[Self.name])
        #expect(same[Self.name] === old)
        let changes = [
            Self.directory([ClusterEntry("rest://10.0.0.1:80", weight: 2), other], upon: same),
            Self.directory([ClusterEntry("rest://10.0.0.1:80", condition: .degraded), other], upon: same),
            Self.directory([one, other], upon: same, weights: [LocalityWeight(Locality(region: "r"), weight: 1)]),
        ]
        for changed in changes {
            let new = try #require(changed[Self.name])
            #expect(new !== old && new.use === old.use && new.slot == old.slot)
            #expect(Self.identities(new) == Self.identities(old))
        }
        let less = try #require(Self.directory([other], upon: same)[Self.name])
        #expect(Self.identities(less) == [Self.identities(old)[1]])
    }

    @Test("clusters and services share no endpoint, and nobody is found by a cluster's addresses")
    func scopes() throws {
        var builder = ServiceDirectoryBuilder(upon: .empty, ownApp: "shop")
        let entry = ClusterEntry("rest://10.0.0.1:80")
        builder.addCluster(Self.name, [entry])
        builder.addCluster("outbound|8080||cart.shop.svc.cluster.local", [entry])
        let endpoint = try builder.endpoint(entry.endpoint)
        builder.add(
            "cart",
            [Instance(id: "1", version: "1", app: "shop", status: .up, properties: [:], endpoints: [endpoint])])
        let directory = builder.build()
        let endpoints = directory.all.flatMap(\.defaultEndpoints.endpoints)
        #expect(endpoints.count == 3 && Set(endpoints.map { ObjectIdentifier($0) }).count == 3)
        guard case .one(let owner, _)? = directory.owner(of: endpoint.ip) else {
            Issue.record("the address is not the service's alone")
            return
        }
        #expect(owner === directory["cart"] && directory.service(at: endpoint.ip, port: 80) === owner)
        // What is not there any more leaves nothing behind.
        var next = ServiceDirectoryBuilder(upon: directory, ownApp: "shop")
        next.keepsOthers = true
        next.remove(Self.name)
        let rest = next.build()
        #expect(rest[Self.name] == nil && rest.all.count == 2 && rest.service(at: endpoint.ip, port: 80) === owner)
    }
}
