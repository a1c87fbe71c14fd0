// SPDX-License-Identifier: Apache-2.0

import Common
import Testing

@testable import AdminAPI

@Suite("routes of a control plane as route rules")
struct ClassicRulesTests {
    private static func cluster(_ version: String) -> Cluster {
        Cluster(name: "outbound|80|\(version)|cart", .service("cart", InstanceTags(version: version)))
    }

    private static func route(_ match: Route.Match, _ versions: [(String, Int)]) -> (route: Route, clusters: [Cluster])
    {
        (
            Route(match: match, weights: versions.map(\.1), at: ConfigLocation("istio")),
            versions.map { Self.cluster($0.0) }
        )
    }

    private static func text(_ rules: ClassicRules, _ service: String) -> String? {
        rules[service].map { String(decoding: $0.bytes, as: UTF8.self) }
    }

    private func rules(own: [String: VirtualHost] = [:]) -> ClassicRules {
        var match = RequestMatch()
        match.fields = [FieldMatch("x-user", [.exact(.init("jason"))]), FieldMatch("x-beta", [])]
        match.share = 100_000
        let routes = [
            Self.route(.request(match), [("v2", 1)]), Self.route(.always, [("", 1)]),
            Self.route(.always, [("v1", 25), ("v2", 75)]),
        ]
        let host = VirtualHost(routes, unmatched: .notFound, profile: .envoy, service: "cart", plain: "1")
        let other = VirtualHost(
            [Self.route(.always, [("v9", 1)])], unmatched: .notFound, profile: .envoy, service: "cart", plain: "2")
        let plain = VirtualHost(
            [Self.route(.always, [("", 1)])], unmatched: .notFound, profile: .envoy, service: "stock", plain: "3")
        let table = RouteTable(own, hosts: ["cart:9080": other, "cart:80": host, "stock:80": plain])
        return ClassicRules(table, nil)
    }

    @Test("those that choose among versions, by the service at its lowest port, the first with the highest precedence")
    func routes() throws {
        let rules = self.rules()
        let text = try #require(Self.text(rules, "cart"))
        #expect(text.contains(#""precedence":3"#) && text.contains(#""precedence":1"#))
        #expect(!text.contains(#""precedence":2"#) && !text.contains("v9"))
        #expect(text.contains(#""headers":{"x-user":{"exact":"jason"}}"#))
        #expect(text.contains(#""others":["x-beta is there","10.0 % at random"]"#))
        #expect(Self.text(rules, "stock") == nil && Self.text(rules, "cart:80") == nil)
        #expect(String(decoding: rules.body.bytes, as: UTF8.self) == #"{"cart":\#(text)}"#)
    }

    @Test("rules of files keep their names")
    func files() {
        let own = VirtualHost([Self.route(.always, [("v7", 1)])], plain: "4")
        #expect(Self.text(self.rules(own: ["cart": own]), "cart")?.contains("v7") == true)
    }
}
