// SPDX-License-Identifier: Apache-2.0

import Common
import Testing

/// The configuration that a text of YAML stands for, and its mistakes.
func rules(_ yaml: String) throws -> (config: MesherConfig, problems: [ConfigProblem]) {
    var source = ConfigSource(.files)
    source.add(try ConfigTree(yaml: yaml, source: "f"))
    source.add("service_description.name", .text("web", ConfigLocation("f")))
    var reader = ConfigReader(ConfigStore([source]))
    let config = MesherConfig(&reader)
    return (config, reader.problems)
}

@Suite struct RouteRuleTests {
    private func cart(_ yaml: String) throws -> VirtualHost {
        let (config, problems) = try rules(yaml)
        #expect(problems.filter { $0.severity == .error } == [])
        return try #require(config.rules.routes["cart"])
    }

    /// Weights and versions of the first rule.
    private func targets(_ routes: VirtualHost) -> [String] {
        routes.routes[0].targets.map { "\($0.weight) \(routes.cluster(of: $0)?.tags.version ?? "")" }
    }

    @Test(
        "the shares of a rule sum up to 100",
        arguments: [
            ("[{tags: {version: 1.0.0}, weight: 100}]", ["100 1.0.0"]),
            ("[{tags: {version: 1.0.0}}]", ["100 1.0.0"]),
            ("[{tags: {version: 1.0.0}, weight: 90}, {tags: {version: 2.0.0}, weight: 10}]", ["90 1.0.0", "10 2.0.0"]),
            ("[{tags: {version: 1.0.0}, weight: 30}]", ["30 1.0.0", "70 latest"]),
            ("[{tags: {version: 1.0.0}, weight: 100}, {tags: {version: 2.0.0}, weight: 0}]", ["100 1.0.0"]),
            ("[{tags: {version: 1.0.0}, weight: 50}, {tags: {shard: b}, weight: 50}]", ["50 1.0.0", "50 latest"]),
        ])
    func weights(route: String, expected: [String]) throws {
        #expect(try self.targets(self.cart("routeRule: {cart: [{route: \(route)}]}")) == expected)
    }

    @Test("higher precedence comes first, and among equals the rule that stands first")
    func order() throws {
        let routes = try self.cart(
            """
            routeRule:
              cart:
                - {route: [{tags: {version: a}}]}
                - {precedence: 3, route: [{tags: {version: b}}]}
                - {precedence: 0, route: [{tags: {version: c}}]}
                - {precedence: 3, route: [{tags: {version: d}}]}
            """)
        #expect(routes.routes.map { routes.cluster(of: $0.targets[0])?.tags.version } == ["b", "d", "a", "c"])
    }

    @Test("a text replaces a dark launch, and that the rules of files, service by service")
    func sources() throws {
        let yaml = """
            routeRule: {cart: [{route: [{tags: {version: file}}]}], other: [{route: [{tags: {version: file}}]}]}
            cse.darklaunch.policy.cart: '{"policyType":"RATE","ruleItems":[{"groupCondition":"version=dark","policyCondition":"100"}]}'
            """
        #expect(try self.targets(self.cart(yaml)) == ["100 dark"])
        let text = yaml + "\nservicecomb.routeRule.cart: |\n  - route: [{tags: {version: text}}]\n"
        #expect(try self.targets(self.cart(text)) == ["100 text"])
        let other = try rules(text).config.rules.routes["other"]
        #expect(other?.clusters.map(\.tags) == [InstanceTags(version: "file")])
    }

    @Test("names with dots are services, and tags may name an application")
    func names() throws {
        let (config, _) = try rules("routeRule: {a.b.svc: [{route: [{tags: {version: 1, app: shop, zone: x}}]}]}")
        #expect(
            config.rules.routes["a.b.svc"]?.clusters.map(\.tags)
                == [InstanceTags(version: "1", app: "shop", properties: ["zone": "x"])])
    }

    @Test("refers to a template, else to a policy that marks requests, else matches nothing")
    func references() throws {
        let routes = try self.cart(
            """
            sourceTemplate: {testers: {httpHeaders: {X-Team: {exact: qa}}}}
            servicecomb.match.big: |
              matches: [{apiPath: {contains: /big}}]
            routeRule:
              cart:
                - {precedence: 3, match: {refer: testers, source: ignored}, route: [{tags: {version: 1}}]}
                - {precedence: 2, match: {refer: big}, route: [{tags: {version: 1}}]}
                - {precedence: 1, match: {refer: nobody}, route: [{tags: {version: 1}}]}
            """)
        guard case .request(let match) = routes.routes[0].match, case .marked(let policy) = routes.routes[1].match,
            case .never = routes.routes[2].match
        else {
            Issue.record("\(routes.routes)")
            return
        }
        #expect(match.headers.map(\.name) == ["X-Team"] && match.source == nil && policy.name == "big")
    }

    @Test(
        "mistakes have a place and a remedy, and a service with one has no rules",
        arguments: [
            (
                "routeRule: {cart: [{route: [{weight: 60}, {weight: 50}]}]}",
                "routeRule.cart: total weight is over 100%: it is 110; make the weights of a rule sum up to 100"
            ),
            (
                "routeRule: {cart: [{precedence: 1}]}",
                "routeRule.cart: the rule has no route; write route: [{tags: {version: 1.0.0}, weight: 100}]"
            ),
            (
                "routeRule: {cart: [{route: [{weight: many}]}]}",
                "routeRule.cart: \"many\" is no weight; write a whole number, 0 to 100"
            ),
            (
                "routeRule: {cart: [{match: {headers: {a: {greater: x}}}, route: [{weight: 100}]}]}",
                "routeRule.cart: \"x\" is no whole number; write one, such as 10"
            ),
            (
                "routeRule: {cart: [{match: {headers: {a: {exakt: x}}}, route: [{weight: 100}]}]}",
                "routeRule.cart: unknown operator exakt; did you mean exact?"
            ),
            (
                "routeRule: {cart: [{mach: {}, route: [{weight: 100}]}]}",
                "routeRule.cart: mach: unknown key; did you mean match?"
            ),
            (
                "routeRule: {cart: [{headers: {a: {exact: x}}, route: [{weight: 100}]}]}",
                "routeRule.cart: headers: unknown key; it belongs below match"
            ),
            (
                "routeRule: {cart: [{route: [{weight: 100, version: 1.0.0}]}]}",
                "routeRule.cart: version: unknown key; it belongs below tags"
            ),
            (
                "servicecomb.routeRule.cart: \"- route: [{weight: 1\"",
                "servicecomb.routeRule.cart: this { is not closed, in line 1 of the text; write } behind its last value"
            ),
            (
                "cse.darklaunch.policy.cart: '{\"policyType\":\"SOME\"}'",
                "cse.darklaunch.policy.cart: \"SOME\" is no policyType; write RATE or RULE"
            ),
        ])
    func mistakes(yaml: String, expected: String) throws {
        let problems = try rules(yaml).problems
        #expect(problems.count == 1 && problems.allSatisfy { $0.location.line > 0 })
        #expect(problems.first.map { "\($0)".drop { $0 != " " }.dropFirst() } ?? "" == expected)
    }
}

@Suite struct DarkLaunchTests {
    private func cart(_ json: String) throws -> VirtualHost? {
        try rules("cse.darklaunch.policy.cart: '\(json)'").config.rules.routes["cart"]
    }

    @Test("RATE divides each weight among its versions")
    func rate() throws {
        let routes = try #require(
            try self.cart(
                #"{"policyType":"RATE","ruleItems":[{"groupCondition":"version=1,2,3","policyCondition":"50"},{"groupCondition":"version=4","policyCondition":"40"}]}"#
            ))
        #expect(routes.routes[0].targets.map(\.weight) == [16, 16, 16, 40, 12])
        #expect(
            routes.clusters.map(\.tags.version) == ["1", "2", "3", "4", "latest"] && routes.routes[0].precedence == 1)
    }

    @Test(
        "RULE matches a header by either spelling of its name",
        arguments: [
            ("user_id~^9", "~ \"^9\""), ("user_id=7", "= \"7\""), ("user_id!=7", "!= \"7\""), ("user_id>7", "> 7"),
            ("user_id<7", "< 7"), ("user_id>=7", ">= 7"), ("user_id<=7", "<= 7"),
        ])
    func rule(condition: String, expected: String) throws {
        let routes = try #require(
            try self.cart(
                #"{"policyType":"RULE","ruleItems":[{"groupCondition":"version=2","policyCondition":"\#(condition)"}]}"#
            ))
        guard case .request(let match) = routes.routes[0].match else {
            Issue.record("\(routes.routes)")
            return
        }
        #expect(match.headers[0].lowercasedNames.map { String(decoding: $0, as: UTF8.self) } == ["user_id", "userid"])
        #expect(match.headers[0].operators.map(\.description) == [expected])
    }

    @Test("items with more than two parts are left out, broken texts are mistakes", arguments: ["a=b=c", "none"])
    func leftOut(condition: String) throws {
        let item = #"{"groupCondition":"version=2","policyCondition":"\#(condition)"}"#
        #expect(try self.cart(#"{"policyType":"RULE","ruleItems":[\#(item)]}"#) == nil)
        #expect(try !rules("cse.darklaunch.policy.cart: '{'").problems.isEmpty)
    }
}
