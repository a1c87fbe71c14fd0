// SPDX-License-Identifier: Apache-2.0

import Common
import Testing

/// What `mesh.yaml` says of mirrors.
@Suite struct MeshMirrorRuleTests {
    private static func mesh(_ route: String) -> String {
        "mesh: {clusters: [{name: one, service: cart}, {name: two, service: far}], hosts: [{name: shop, routes: [\(route)]}]}"
    }

    @Test("a route has copies sent to other clusters, which are clusters of the host like others")
    func mirrors() throws {
        let (config, problems) = try rules(
            Self.mesh(
                "{targets: [{cluster: one}], mirrors: [{cluster: two, percent: 0.5}, {cluster: one, keepHost: true}]}"))
        #expect(problems == [])
        let shop = try #require(config.rules.routes.hosts["shop"])
        let route = try #require(shop.routes.first)
        #expect(route.mirrors.map { shop.clusters[$0.cluster].name } == ["two", "one"])
        #expect(route.mirrors.map(\.share) == [5_000, 1_000_000] && route.mirrors.map(\.keepsHost) == [false, true])
        #expect(shop.clusters.count == 2)
    }

    @Test(
        "says what is wrong with them",
        arguments: [
            ("{reply: {}, mirrors: [{cluster: two}]}", "mirrors has no effect on a route that answers at once"),
            ("{targets: [{cluster: one}], mirrors: [{cluster: tow}]}", "no cluster is called \"tow\""),
            ("{targets: [{cluster: one}], mirrors: [{cluster: two, weight: 1}]}", "unknown key weight"),
            ("{targets: [{cluster: one}], mirrors: [{cluster: two, percent: 101}]}", "\"101\" is no"),
        ])
    func mistakes(route: String, expected: String) throws {
        let (config, problems) = try rules(Self.mesh(route))
        #expect(problems.contains { $0.problem.hasPrefix(expected) && $0.severity == .error }, "\(problems)")
        #expect(config.rules.routes.hosts.isEmpty)
    }
}
