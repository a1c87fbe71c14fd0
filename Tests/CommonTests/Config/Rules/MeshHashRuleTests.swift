// SPDX-License-Identifier: Apache-2.0

import Common
import Testing

/// What `mesh.yaml` says of hashes.
@Suite struct MeshHashRuleTests {
    private static func mesh(_ route: String, cluster: String) -> String {
        "mesh: {clusters: [{name: one, service: cart, \(cluster)}], hosts: [{name: shop, routes: [\(route)]}]}"
    }

    private static let route = "{targets: [{cluster: one}], hash: [{source: true}]}"

    @Test("a hash has an effect where a cluster is balanced by it, by its own key or by the one for the host")
    func effect() throws {
        for strategy in ["RingHash", "Maglev"] {
            #expect(try rules(Self.mesh(Self.route, cluster: "balancing: \(strategy)")).problems == [])
            let global = "\ncse.loadbalance.shop.strategy.name: \(strategy)"
            #expect(try rules(Self.mesh(Self.route, cluster: "port: 80") + global).problems == [])
        }
    }

    @Test(
        "compiles what hashes are taken of",
        arguments: [
            (
                "{header: X-User}, {cookie: id}, {query: u}, {source: true}",
                [
                    HashKey(.header(Array("x-user".utf8))), HashKey(.cookie(Array("id".utf8))),
                    HashKey(.query(Array("u".utf8))), HashKey(.source),
                ]
            ),
            (
                "{header: a, terminal: false}, {cookie: id, ttl: 1h, path: /a}",
                [
                    HashKey(.header(Array("a".utf8)), isLast: false),
                    HashKey(
                        .cookie(Array("id".utf8)), newCookie: NewCookie("id", lifetime: .seconds(3600), path: "/a")),
                ]
            ),
        ])
    func keys(written: String, expected: [HashKey]) throws {
        let route = "{targets: [{cluster: one}], hash: [\(written)]}"
        let (config, problems) = try rules(Self.mesh(route, cluster: "balancing: Maglev"))
        #expect(problems == [])
        #expect(config.rules.routes.hosts["shop"]?.routes.first?.action?.hashKeys == expected)
    }

    @Test("a cluster says how large its tables are")
    func sizes() throws {
        func settings(_ cluster: String) throws -> ClusterSettings? {
            let (config, problems) = try rules(Self.mesh(Self.route, cluster: cluster))
            #expect(problems == [])
            return config.rules.routes.hosts["shop"]?.clusters.first?.settings
        }
        let maglev = try #require(try settings("balancing: Maglev, tableSize: 251"))
        #expect(maglev.strategy == .maglev && maglev.tableSize == 251)
        let ring = try #require(try settings("balancing: RingHash, ringSize: {min: 1024, max: 2048}"))
        #expect(ring.strategy == .ringHash && ring.ringSize == 1024...2048)
        #expect(try settings("balancing: RingHash")?.ringSize == ClusterSettings.usualRing)
    }

    @Test(
        "says what is wrong with it, and what has no effect",
        arguments: [
            (Self.route, "balancing: Maglev, tableSize: 65536", "65536 is no prime number"),
            (Self.route, "balancing: RingHash, ringSize: {min: 9, max: 8}", "min is more than max"),
            (
                Self.route, "balancing: RingHash, tableSize: 251",
                "tableSize has no effect: the cluster is balanced by RingHash"
            ),
            (
                "{targets: [{cluster: one}], hash: [{header: a, ttl: 1h}]}", "balancing: RingHash",
                "ttl belongs to a cookie that clients are given"
            ),
            (
                "{targets: [{cluster: one}], hash: [{cookie: 'a b', ttl: 1h}]}", "balancing: RingHash",
                "\"a b\" is no cookie name"
            ),
            (
                "{targets: [{cluster: one}], hash: [{cookie: a, header: b}]}", "balancing: RingHash",
                "this is no hash key"
            ),
        ])
    func mistakes(route: String, cluster: String, expected: String) throws {
        let problems = try rules(Self.mesh(route, cluster: cluster)).problems
        #expect(problems.contains { $0.problem.hasPrefix(expected) && !$0.remedy.isEmpty }, "\(problems)")
    }
}
