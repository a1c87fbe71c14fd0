// SPDX-License-Identifier: Apache-2.0

import Common
import Testing

@Suite struct KeyPatternTests {
    @Test(
        "matches the keys of its family",
        arguments: [
            (
                "cse.isolation.<Consumer|Provider>[.<service>].maxConcurrentRequests",
                "cse.isolation.Consumer.maxConcurrentRequests", true
            ),
            (
                "cse.isolation.<Consumer|Provider>[.<service>].maxConcurrentRequests",
                "cse.isolation.Provider.a.b.c.maxConcurrentRequests", true
            ),
            (
                "cse.isolation.<Consumer|Provider>[.<service>].maxConcurrentRequests",
                "cse.isolation.Customer.maxConcurrentRequests", false
            ),
            ("cse.isolation.<Consumer|Provider>[.<service>].maxConcurrentRequests", "cse.isolation.Consumer", false),
            ("routeRule.<service>", "routeRule.inventory.default.svc", true),
            ("routeRule.<service>", "routeRule", false),
            ("a[.<b>].c[.<d>]", "a.c", true), ("a[.<b>].c[.<d>]", "a.x.c.y.z", true), ("a[.<b>].c[.<d>]", "a.x", false),
            ("a.b", "a.b", true), ("a.b", "a.b.c", false), ("a.b", "", false),
        ])
    func matches(pattern: String, key: String, expected: Bool) {
        #expect(KeyPattern(pattern).matches(key) == expected)
    }

    @Test("knows what is above and below it")
    func aboveAndBelow() {
        let pattern = KeyPattern("mesher.timeouts.connect")
        #expect(pattern.isAbove("mesher.timeouts.connect.a") && !pattern.isAbove("mesher.timeouts.connect"))
        #expect(pattern.isBelow("mesher.timeouts") && !pattern.isBelow("mesher.limits"))
    }
}

@Suite struct SpellingTests {
    @Test(
        "finds what was meant",
        arguments: [
            ("conections", "connections"), ("RoundRobbin", "RoundRobin"), ("lodabalance", "loadbalance"),
            ("transprot", "transport"), ("xyz", nil), ("", nil),
        ] as [(String, String?)])
    func nearest(text: String, expected: String?) {
        let names = ["connections", "RoundRobin", "loadbalance", "transport"]
        #expect(Spelling.nearest(to: text, among: names) == expected)
    }
}

@Suite struct ConfigCatalogueTests {
    @Test("every key stands in the reference once")
    func keysAreUnique() {
        let names = ConfigCatalogue.all.map(\.pattern.text)
        #expect(Set(names).count == names.count)
        for row in ConfigReference.rows { #expect(!row.meaning.isEmpty, "\(row.key) has no meaning") }
    }

    @Test("the default of every active key is a value of it")
    func defaultsAreValues() {
        for key in ConfigCatalogue.all where !key.fallbackText.isEmpty {
            #expect(key.mistake(in: key.fallbackText) == nil, "\(key.pattern.text)")
        }
    }

    private func review(_ yaml: String, isStrict: Bool = false) throws -> [String] {
        var source = ConfigSource(.files)
        source.add(try ConfigTree(yaml: yaml, source: "f"))
        return ConfigReview.problems(of: ConfigStore([source]), isStrict: isStrict).map(\.description)
    }

    @Test(
        "says what becomes of a key that nobody reads",
        arguments: [
            (
                "mesher.limits.bufer: 1",
                "f:1:22: warning: mesher.limits.bufer: unknown key; did you mean mesher.limits.buffer?"
            ),
            ("nonsense: 1", "f:1:11: warning: nonsense: unknown key; remove it"),
            (
                "servicecomb.registry.adress: x",
                "f:1:30: warning: servicecomb.registry.adress: unknown key; did you mean servicecomb.registry.address?"
            ),
            (
                "servicecomb.isolation.Consumer.a.b.timeoutInMiliseconds: 1",
                "f:1:58: warning: servicecomb.isolation.Consumer.a.b.timeoutInMiliseconds: unknown key; did you mean servicecomb.isolation.Consumer.a.b.timeoutInMilliseconds?"
            ),
            (
                "router.address: a",
                "f:1:17: note: router.address: not active yet"
            ),
            (
                "proxyedProtocol: dubbo",
                "f:1:18: note: proxyedProtocol: has no effect: the listeners say which protocols are taken"
            ),
            (
                "cse.protocols: 1",
                "f:1:16: cse.protocols: one value stands where a map belongs; write keys below it, such as cse.protocols.http.listenAddress"
            ),
            (
                "mesher.workers: {a: 1}",
                "f:1:21: mesher.workers.a: a map stands where one value belongs; write one integer, 0 to 1024"
            ),
        ])
    func problems(yaml: String, expected: String) throws { #expect(try self.review(yaml) == [expected]) }

    @Test("takes unknown keys for mistakes when told so")
    func strict() throws {
        #expect(
            try self.review("nonsense: 1", isStrict: true) == [
                "f:1:11: nonsense: unknown key; remove it"
            ])
    }

    @Test("keys of an environment are looked at when they are ours only")
    func environment() {
        var source = ConfigSource(.environment)
        for key in ["PATH", "HOME.DIR", "mesher.limits.bufer"] { source.add(key, .text("1", ConfigLocation("env"))) }
        #expect(ConfigReview.problems(of: ConfigStore([source]), isStrict: false).map(\.key) == ["mesher.limits.bufer"])
    }
}

@Suite struct RegularExpressionTests {
    @Test("searches, and matches whole texts")
    func matches() throws {
        let expression = try RegularExpression("o+k")
        #expect(
            expression.isFound(in: Array("it is ook.".utf8).rawSpan)
                && !expression.isFound(in: Array("no".utf8).rawSpan))
        #expect(expression.matches(Array("ooook".utf8).rawSpan) && !expression.matches(Array("ok!".utf8).rawSpan))
        #expect(try RegularExpression("").isFound(in: [UInt8]().rawSpan))
    }

    @Test("refuses what RE2 refuses", arguments: ["(a", "[z-a]", "(?=a)", #"(a)\1"#, "a**{", "x{1001}"])
    func refuses(text: String) { #expect(throws: ConfigMistake.self) { try RegularExpression(text) } }
}
