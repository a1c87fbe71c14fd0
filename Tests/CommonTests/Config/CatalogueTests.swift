// SPDX-License-Identifier: Apache-2.0

import Common
import Testing

@Suite struct KeyIndexTests {
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
        #expect((KeyIndex([KeyPattern(pattern)]).find(key).key == 0) == expected)
    }

    @Test("knows what is above and below a key")
    func aboveAndBelow() {
        let index = KeyIndex(["mesher.timeouts.connect", "cse.a.<service>.b"].map { KeyPattern($0) })
        #expect(index.find("mesher.timeouts.connect.a") == KeyIndex.Finding(above: 0))
        #expect(index.find("mesher.timeouts") == KeyIndex.Finding(below: 0))
        #expect(index.find("mesher.limits") == KeyIndex.Finding())
        #expect(index.find("cse.a.cart") == KeyIndex.Finding(belowName: 1))
        #expect(index.find("cse.a.cart.b").key == 1)
    }

    @Test(
        "finds what was meant, part by part",
        arguments: [
            ("mesher.limits.bufer", "mesher.limits.buffer"), ("mesher.limit.bufer", "mesher.limits.buffer"),
            ("cse.a.some.shop.bb", nil), ("Mesher.Limits.Buffer", "mesher.limits.buffer"),
            ("cse.of.some.shop.timeuot", "cse.of.some.shop.timeout"), ("mesher.foo", nil), ("", nil),
        ] as [(String, String?)])
    func nearest(key: String, expected: String?) {
        let index = KeyIndex(
            ["mesher.limits.buffer", "mesher.mode", "cse.of.<service>.timeout"].map { KeyPattern($0) })
        #expect(index.nearest(to: key) == expected)
    }

    @Test("finds where a key belongs")
    func places() {
        let patterns = ["p.http.address", "p.grpc.address", "q.limit.<service>", "q[.<service>].retries"]
        let index = KeyIndex(patterns.map { KeyPattern($0) })
        #expect(index.maps(around: "p.address") == ["http", "grpc"])
        #expect(index.maps(around: "p.adress").isEmpty)
        #expect(index.families(endingLike: "http.address") == [[0], [0, 1]])
        #expect(index.families(endingLike: "retries") == [[3]])
        #expect(index.families(endingLike: "limit.cart") == [[2]])
        #expect(index.stray(in: "q.x.cart.retrys")?.part == nil)
        let stray = index.stray(in: "p.tcp.address")
        #expect(stray?.part == "tcp" && stray?.names == ["grpc", "http"])
    }

    @Test("a look-up costs the same however many parts and names there are")
    func cost() {
        let index = KeyIndex(["a.<x>.b.<y>.c", "<x>.<y>.<z>.d"].map { KeyPattern($0) })
        let key = "a." + String(repeating: "b.", count: 20_000) + "e"
        let start = ContinuousClock.now
        #expect(index.find(key).key == nil)
        #expect(ContinuousClock.now - start < .seconds(5))
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
        let problems = ConfigReview.problems(of: ConfigStore([source]))
        return (isStrict ? problems.map(\.strict) : problems).map(\.description)
    }

    @Test(
        "says what becomes of a key that nobody reads",
        arguments: [
            (
                "mesher.limits.bufer: 1",
                "f:1:22: mesher.limits.bufer: unknown key; did you mean mesher.limits.buffer?"
            ),
            ("nonsense: 1", "f:1:11: warning: nonsense: unknown key; remove it"),
            (
                "mesher.timeouts.conect: 1s",
                "f:1:25: warning: mesher.timeouts.conect: unknown key; did you mean mesher.timeouts.connect?"
            ),
            (
                "routeRules.cart: []",
                "f:1:18: routeRules.cart: unknown key; did you mean routeRule.cart?"
            ),
            (
                "servicecomb.protocols.listenAddress: a",
                "f:1:38: warning: servicecomb.protocols.listenAddress: unknown key; it belongs below http, grpc, rest-admin or rest: servicecomb.protocols.http.listenAddress"
            ),
            (
                "retryEnabled: true",
                "f:1:15: warning: retryEnabled: unknown key; it belongs at cse.loadbalance[.<service>].retryEnabled"
            ),
            (
                "cse.circuitBreaker.Consumer.forceClose: false",
                "f:1:41: warning: cse.circuitBreaker.Consumer.forceClose: unknown key; did you mean cse.circuitBreaker.Consumer.forceClosed?"
            ),
            (
                "cse.isolation.Consumer.cart: 1000",
                "f:1:30: warning: cse.isolation.Consumer.cart: unknown key; remove it, or write keys below it, such as cse.isolation.<Consumer|Provider>[.<service>].timeoutInMilliseconds"
            ),
            (
                "localHealthCheck: {port: 80}",
                "f:1:26: localHealthCheck.port: a map stands where a list belongs; write - before it"
            ),
            (
                "servicecomb.registry.adress: x",
                "f:1:30: warning: servicecomb.registry.adress: unknown key; did you mean servicecomb.registry.address?"
            ),
            (
                "servicecomb.isolation.Consumer.a.b.timeoutInMiliseconds: 1",
                "f:1:58: warning: servicecomb.isolation.Consumer.a.b.timeoutInMiliseconds: unknown key; did you mean servicecomb.isolation.Consumer.a.b.timeoutInMilliseconds?"
            ),
            (
                "mesher.ingress.type: servicecomb",
                "f:1:22: note: mesher.ingress.type: not active yet"
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

    @Test("a key that is written twice is told, with the one that counts")
    func repeated() throws {
        var source = ConfigSource(.files)
        source.add(try ConfigTree(yaml: "mesher.workers: 1\nservicecomb.loadbalance.retryOnNext: 1", source: "a"))
        source.add(try ConfigTree(yaml: "mesher.workers: 1\ncse.loadbalance.retryOnNext: 2\nown: 1", source: "b"))
        source.add(try ConfigTree(yaml: "mesher.workers: 2\nown: 2", source: "c"))
        let store = ConfigStore([source])
        #expect(store.entry("cse.loadbalance.retryOnNext")?.value.text == "2")
        #expect(
            ConfigReview.problems(of: store).filter { $0.key != "own" }.map(\.description) == [
                "b:1:17: note: mesher.workers: has no effect: the same key at a:1:17 counts, and says the same; keep one of them",
                "a:2:38: warning: servicecomb.loadbalance.retryOnNext: has no effect: cse.loadbalance.retryOnNext at b:2:30 counts; keep one of them",
                "c:1:17: warning: mesher.workers: has no effect: the same key at a:1:17 counts; keep one of them",
            ])
    }

    @Test("tens of thousands of unknown keys are judged at once")
    func manyKeys() {
        var source = ConfigSource(.files)
        for number in 0..<40_000 { source.add("cse.isolation.key\(number)", .text("1", ConfigLocation("f"))) }
        let start = ContinuousClock.now
        #expect(ConfigReview.problems(of: ConfigStore([source])).count == 40_000)
        // A debug build, beside others: seconds where it was minutes.
        #expect(ContinuousClock.now - start < .seconds(30))
    }

    @Test("keys of an environment are looked at when they are ours only")
    func environment() {
        var source = ConfigSource(.environment)
        for key in ["PATH", "HOME.DIR", "mesher.limits.bufer"] { source.add(key, .text("1", ConfigLocation("env"))) }
        let problems = ConfigReview.problems(of: ConfigStore([source]))
        // It may be the variable of another program, so it refuses nothing.
        #expect(problems.map(\.key) == ["mesher.limits.bufer"] && problems.map(\.severity) == [.warning])
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

@Suite struct DefaultTests {
    @Test(
        "what the reference shows as a default holds where nothing is written",
        arguments: [
            ("cse.isolation.<Consumer|Provider>[.<service>].maxConcurrentRequests", "\(Self.resilience.maxConcurrent)"),
            (
                "cse.isolation.<Consumer|Provider>[.<service>].timeoutInMilliseconds",
                Self.resilience.timeout == nil ? "0" : "written"
            ),
            ("cse.circuitBreaker.<Consumer|Provider>[.<service>].enabled", "\(Self.resilience.breaker.isEnabled)"),
            (
                "cse.circuitBreaker.<Consumer|Provider>[.<service>].sleepWindowInMilliseconds",
                "\(Int(Self.resilience.breaker.sleepWindow / .milliseconds(1)))"
            ),
            (
                "cse.circuitBreaker.<Consumer|Provider>[.<service>].requestVolumeThreshold",
                "\(Self.resilience.breaker.requestVolumeThreshold)"
            ),
            (
                "cse.circuitBreaker.<Consumer|Provider>[.<service>].errorThresholdPercentage",
                "\(Self.resilience.breaker.errorThresholdPercentage)"
            ),
            ("cse.fallback.<Consumer|Provider>[.<service>].enabled", "\(Self.resilience.fallback.isEnabled)"),
            ("cse.fallbackpolicy.<Consumer|Provider>[.<service>].policy", Self.resilience.fallback.kind.rawValue),
            ("cse.loadbalance[.<service>].strategy.name", Self.balancing.strategy.rawValue),
            (
                "cse.loadbalance[.<service>].SessionStickinessRule.sessionTimeoutInSeconds",
                "\(Self.balancing.sessionTimeout.components.seconds)"
            ),
            (
                "cse.loadbalance[.<service>].SessionStickinessRule.successiveFailedTimes",
                "\(Self.balancing.sessionFailures)"
            ),
        ])
    func defaults(key: String, held: String) {
        #expect(ConfigReference.rows.first { $0.key == key }?.fallback == held)
    }

    private static let config: MesherConfig = {
        var reader = ConfigReader(ConfigStore([]), isPartial: true)
        return MesherConfig(&reader)
    }()
    private static var resilience: ResiliencePolicy { Self.config.governance.resilience.policy(for: "cart") }
    private static var balancing: BalancingPolicy { Self.config.governance.balancing.balancing(for: "cart") }
}
