// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials
import Testing

@testable import RegistryBridge

@Suite("what subsets select by")
struct SubsetTableTests {
    private static func rules(_ json: String) throws -> DestinationRules {
        try JSONDecoder().decode(DestinationRules.self, from: Data(json.utf8))
    }

    private static func labels(_ table: SubsetTable, _ subset: String, _ host: String) -> [String: String]? {
        table[ClusterName(port: 80, subset: subset, host: host)]
    }

    @Test("a short host is a service of the rule's namespace; the older rule, and that of the first namespace, counts")
    func hosts() throws {
        var table = SubsetTable()
        table.add(
            try Self.rules(
                """
                {"kind": "DestinationRuleList", "items": [
                 {"metadata": {"name": "a", "creationTimestamp": "2026-02-01T00:00:00Z"},
                  "spec": {"host": "cart", "subsets": [{"name": "v1", "labels": {"version": "new"}},
                   {"name": "v2", "labels": {"version": "2"}}]}},
                 {"metadata": {"name": "b", "creationTimestamp": "2026-01-01T00:00:00Z"},
                  "spec": {"host": "cart.shop.svc.cluster.local", "subsets": [{"name": "v1", "labels": {"version": "1"}}]}},
                 {"metadata": {"name": "c"}, "spec": {"host": "stock.other", "subsets": [{"name": "s", "labels": {"a": "b"}},
                  {"name": "bare"}]}},
                 {"metadata": {"name": "d"}, "spec": {"host": "*.example.org", "trafficPolicy": {}}}]}
                """), namespace: "shop", domain: "cluster.local")
        table.add(
            try Self.rules(
                """
                {"items": [{"metadata": {"name": "x"},
                 "spec": {"host": "stock", "subsets": [{"name": "s", "labels": {"late": "yes"}},
                  {"name": "t", "labels": {"late": "yes"}}]}}]}
                """), namespace: "other", domain: "cluster.local")
        let (cart, stock) = ("cart.shop.svc.cluster.local", "stock.other.svc.cluster.local")
        #expect(Self.labels(table, "v1", cart) == ["version": "1"])
        #expect(Self.labels(table, "v2", cart) == ["version": "2"])
        #expect(Self.labels(table, "s", stock) == ["a": "b"])
        #expect(Self.labels(table, "t", stock) == ["late": "yes"])
        #expect(Self.labels(table, "bare", stock) == nil, "it selects everything")
        #expect(Self.labels(table, "v1", "cart.other.svc.cluster.local") == nil)
    }

    @Test("labels that are the name of a subset are its labels")
    func names() {
        let table = SubsetTable()
        #expect(Self.labels(table, "env=x,version=v1", "a") == ["env": "x", "version": "v1"])
        #expect(Self.labels(table, "env=x;env=y", "a") == nil)
        #expect(Self.labels(table, "v1", "a") == nil)
    }
}
