// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Common

/// The host that a request names.
@Suite struct HostIndexTests {
    private static let domains = DomainTable([
        DomainTable.Domain("shop.test", port: nil, host: "shop"),
        DomainTable.Domain("shop.test", port: 8080, host: "alt"),
        DomainTable.Domain("*.test", port: 9000, host: "nines"), DomainTable.Domain("*", port: nil, host: "rest"),
    ])

    private func find(_ host: String, _ port: UInt16, in index: HostIndex) -> String? {
        index.find(Array(host.utf8).rawSpan, port: port)?.name
    }

    @Test(
        "a domain with the port of the request counts before those without a port",
        arguments: [
            ("shop.test", 80, "shop"), ("Shop.TEST", 80, "shop"), ("shop.test", 8080, "alt"),
            ("shop.test", 9000, "nines"),
            ("a.test", 9000, "nines"), ("a.test", 80, "rest"), ("elsewhere", 8080, "rest"),
        ] as [(String, UInt16, String)])
    func ports(host: String, port: UInt16, expected: String) {
        #expect(self.find(host, port, in: HostIndex(Self.domains)) == expected)
    }

    @Test("what is found is the same object from one index to the next, and not the service of that name")
    func identity() {
        let first = HostIndex(Self.domains)
        let second = HostIndex(DomainTable([DomainTable.Domain("*.test", port: nil, host: "shop")]), upon: first)
        let host = Array("shop.test".utf8)
        let found = first.find(host.rawSpan, port: 80)
        let foundAgain = second.find(host.rawSpan, port: 80)
        #expect(found != nil && foundAgain === found)
        #expect(found?.kind == .virtualHost && found?.instances.isEmpty == true)
        #expect(found?.slot != Service(name: "shop", instances: [], ownApp: "").slot)
        #expect(HostIndex(DomainTable()).isEmpty && !first.isEmpty)
    }

    @Test("an external host is a virtual host whose only route leads to what the request names")
    func external() throws {
        let rule = ExternalHosts.Rule("*.example.org", [ExternalHosts.Port(443, protocolName: "HTTPS")])
        let hosts = ExternalHosts([rule])
        #expect(self.find("a.example.org", 80, in: HostIndex(hosts)) == "*.example.org")
        let host = try #require(hosts.virtualHosts(at: ConfigLocation("test"))["*.example.org"])
        #expect(host.chain == .external && host.routes.count == 1)
        #expect(host.clusters == [Cluster(.requested(rule))])
    }
}
