// SPDX-License-Identifier: Apache-2.0

import Common
import Foundation
import HTTPTypes
import TestSupport
import Testing

@testable import AdminAPI

/// Route rules as clients of the original know them.
@Suite struct OrderedJSONTests {
    private static let rule = """
        routeRule:
          inventory:
            - precedence: 2
              match: {headers: {X-Env: {exact: canary}}}
              route: [{weight: 100, tags: {version: 2.0.0}}]
        """
    private static let body = """
        [{"precedence": 2,
          "route": [{"tags": {"version": "2.0.0"}, "weight": 100, "Label": "version:2.0.0"}],
          "match": {"refer": "", "source": "", "sourceTags": null, "httpHeaders": null,
                    "headers": {"X-Env": {"exact": "canary"}}}}]
        """

    @Test("the rules of a service are exactly the original's document")
    func ofService() async throws {
        let answer = try await AdminSupport(Self.rule).table.ask(.get, "/v1/mesher/routeRule/inventory")
        #expect(answer.status == 200 && answer.type == "text/vnd.yaml")
        // To the byte, but for the blanks that make it readable here.
        let expected = Self.body.split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }.joined()
        #expect(answer.text == expected.replacing(": ", with: ":").replacing(", ", with: ","))
    }

    @Test("the rules of all services, by name")
    func all() async throws {
        let answer = try await AdminSupport(Self.rule).table.ask(.get, "/v1/mesher/routeRule")
        #expect(answer.status == 200 && answer.type == "text/vnd.yaml")
        #expect(try sorted(answer.body) == sorted("{\"routeRule\": {\"inventory\": \(Self.body)}}".utf8))
        let none = try await AdminSupport().table.ask(.get, "/v1/mesher/routeRule")
        #expect(none.text == #"{"routeRule":{}}"#)
    }

    @Test("a service without rules is not found, which is told as a text of JSON")
    func unknown() async throws {
        for (path, name) in [("cart", "cart"), ("a%20b", "a b")] {
            let answer = try await AdminSupport(Self.rule).table.ask(.get, "/v1/mesher/routeRule/\(path)")
            #expect(answer.status == 404 && answer.type == "application/json")
            #expect(answer.text == "\"\(name) routeRule not found\"")
        }
    }

    /// The first rule for `cart`.
    private func rule(_ yaml: String) throws -> String {
        let support = try AdminSupport(yaml)
        let routes = try #require(support.state.routes()["cart"])
        guard case .array(let rules) = OrderedJSON.routeRules(routes) else { return "" }
        return try sorted(OrderedJSON.array(Array(rules.prefix(1))).bytes)
    }

    @Test("rules are in the order in which they are tried, with all of their tags")
    func several() async throws {
        let yaml = """
            routeRule:
              cart:
                - route: [{weight: 100, tags: {version: a}}]
                - {precedence: 7, route: [{weight: 30, tags: {zone: x, app: shop}}, {weight: 70, tags: {version: b}}]}
            """
        let answer = try await AdminSupport(yaml).table.ask(.get, "/v1/mesher/routeRule/cart")
        let match = #""match": {"refer": "", "source": "", "sourceTags": null, "httpHeaders": null, "headers": null}"#
        #expect(
            try sorted(answer.body)
                == sorted(
                    """
                    [{"precedence": 7, \(match), "route": [
                        {"tags": {"app": "shop", "version": "latest", "zone": "x"}, "weight": 30,
                         "Label": "app:shop|version:latest|zone:x"},
                        {"tags": {"version": "b"}, "weight": 70, "Label": "version:b"}]},
                     {"precedence": 0, \(match), "route": [
                        {"tags": {"version": "a"}, "weight": 100, "Label": "version:a"}]}]
                    """.utf8))
    }

    @Test("what a rule asks of the caller and of headers")
    func match() throws {
        let yaml = """
            routeRule:
              cart:
                - match:
                    source: web
                    sourceTags: {version: 1.0}
                    headers:
                      A: {regex: '^x+$'}
                      B: {noEqu: Y, caseInsensitive: true}
                      C: {greater: 5}
                  route: [{tags: {version: a}}]
            """
        #expect(
            try self.rule(yaml)
                == sorted(
                    """
                    [{"precedence": 0, "route": [{"tags": {"version": "a"}, "weight": 100, "Label": "version:a"}],
                      "match": {"refer": "", "source": "web", "sourceTags": {"version": "1.0"}, "httpHeaders": null,
                                "headers": {"A": {"regex": "^x+$"}, "B": {"noEqu": "y", "caseInsensitive": "true"},
                                            "C": {"greater": "5"}}}}]
                    """.utf8))
    }

    @Test("routes of mesh.yaml have their clusters, paths, methods and parameters")
    func mesh() async throws {
        let yaml = """
            mesh:
              clusters:
                - {name: search, service: finder, tags: {version: 2.0.0}}
                - {name: fixed, endpoints: ["10.0.0.5:8080"]}
              hosts:
                - name: shop
                  routes:
                    - match: [{path: {regex: "/a+"}, methods: [GET], queries: {q: {exact: x}}}]
                      targets: [{cluster: search}]
                    - targets: [{cluster: fixed, weight: 3}]
            """
        let answer = try await AdminSupport(yaml).table.ask(.get, "/v1/mesher/routeRule/shop")
        let nothing = #""refer": "", "source": "", "sourceTags": null, "httpHeaders": null, "headers": null"#
        #expect(
            try sorted(answer.body)
                == sorted(
                    """
                    [{"precedence": 0, "match": {\(nothing), "path": {"regex": "/a+"}, "methods": ["GET"],
                                                "queries": {"q": {"exact": "x"}}},
                      "route": [{"tags": {"version": "2.0.0"}, "weight": 1, "Label": "version:2.0.0",
                                 "cluster": "search", "service": "finder"}]},
                     {"precedence": 0, "match": {\(nothing)},
                      "route": [{"weight": 3, "cluster": "fixed", "endpoints": ["rest://10.0.0.5:8080"]}]}]
                    """.utf8))
    }

    @Test("a rule that refers to a template says so")
    func reference() throws {
        let yaml = """
            sourceTemplate: {testers: {httpHeaders: {X-Team: {exact: qa}}}}
            routeRule: {cart: [{match: {refer: testers}, route: [{tags: {version: a}}]}]}
            """
        #expect(try self.rule(yaml).contains("\"refer\" : \"testers\""))
    }
}
