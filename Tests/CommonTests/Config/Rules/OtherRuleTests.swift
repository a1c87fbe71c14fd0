// SPDX-License-Identifier: Apache-2.0

import Common
import Testing

@Suite struct MarkRuleTests {
    @Test("reads policies by name, and one limit for each mark")
    func limits() throws {
        let (config, problems) = try rules(
            """
            servicecomb:
              match:
                b: "matches: [{queries: {regex: x}, trafficMarkPolicy: once}]"
                a: "matches: [{headers: {X-Tenant: {exact: acme}}, method: [GET]}, {apiPath: {prefix: /r}}]"
              rateLimiting:
                p1: "{match: a, rate: 20, burst: 5}"
                p2: "{match: a, rate: 30}"
                p3: "{rate: 30}"
                p4: "{match: none, rate: 0}"
            """)
        #expect(config.rules.policies.map(\.name) == ["a", "b"])
        #expect(config.rules.policies.map { $0.alternatives.map(\.isPassedOn) } == [[false, false], [true]])
        #expect(config.rules.policies[0].alternatives[0].match.headers[0].isRequired)
        #expect(
            config.rules.rateLimits == [
                RateLimitPolicy("p1", match: "a", rate: 20, burst: 5),
                RateLimitPolicy("p4", match: "none", rate: 0, burst: nil),
            ])
        #expect(problems.map(\.severity) == [.warning, .warning])
    }

    @Test(
        "says what is wrong with a policy or a limit",
        arguments: [
            ("servicecomb.match.a: \"matches: []\"", "the policy describes no request"),
            ("servicecomb.match.a: \"matches: [{method: [get]}]\"", "\"get\" is no method"),
            ("servicecomb.match.a: \"matches: [{apiPath: {regex: '('}}]\"", "\"(\" is no regular expression"),
            ("servicecomb.rateLimiting.a: \"{match: b}\"", "the limit has no rate"),
            ("servicecomb.rateLimiting.a: \"{match: b, rate: 1, burst: 0}\"", "\"0\" is no burst"),
        ])
    func mistakes(yaml: String, expected: String) throws {
        let problem = try #require(try rules(yaml).problems.first)
        #expect(problem.problem.hasPrefix(expected) && problem.severity == .error && problem.location.line > 0)
    }
}

@Suite struct FaultRuleTests {
    private func fault(_ service: String, _ yaml: String) throws -> FaultPolicy? {
        try rules("servicecomb.governance.Consumer:\n\(yaml)").config.rules.faults[service]
    }

    @Test("each value is looked up by itself, and a percentage of 0 is 100")
    func mixed() throws {
        let yaml = """
              _global: {policy: {fault: {protocols: {rest: {delay: {fixedDelay: 5, percent: 10}, abort: {percent: 0}}}}}}
              cart: {policy: {fault: {protocols: {rest: {delay: {fixedDelay: 2s}, abort: {httpStatus: 421}}}}}}
            """
        #expect(
            try self.fault("cart", yaml)
                == FaultPolicy(delay: .seconds(2), delayPercent: 10, abortStatus: 421, abortPercent: 100))
        #expect(
            try self.fault("other", yaml)
                == FaultPolicy(delay: .milliseconds(5), delayPercent: 10, abortStatus: nil, abortPercent: 100))
        #expect(try self.fault("cart", "  b: {policy: {fault: {protocols: {rest: {abort: {percent: 5}}}}}}") == nil)
    }

    @Test(
        "values out of range are mistakes",
        arguments: [
            "delay: {fixedDelay: -1}", "delay: {percent: 101}", "abort: {httpStatus: 99}", "abort: {httpStatus: x}",
        ])
    func mistakes(fault: String) throws {
        let (_, problems) = try rules(
            "cse.governance.Consumer.cart.policy.fault.protocols.rest: {\(fault)}")
        #expect(problems.map(\.severity) == [.error] && !problems[0].remedy.isEmpty)
    }
}

@Suite struct ExternalHostTests {
    private func hosts(_ yaml: String) throws -> ExternalHosts {
        let (config, problems) = try rules("egressRule: {a: [\(yaml)]}")
        #expect(problems == [])
        return config.rules.externalHosts
    }

    @Test(
        "matches whole names, and a star any beginning of one",
        arguments: [
            ("api.example.org", "api.example.org"), ("API.Example.ORG", "api.example.org"),
            ("api.example.org.", nil), ("xapi.example.org", nil), ("api.example.org.evil", nil),
            ("apixexample.org", nil), ("a.cdn.example.org", "*.cdn.example.org"),
            ("a.b.cdn.example.org", "*.cdn.example.org"), ("cdn.example.org", nil), (".cdn.example.org", nil),
            ("acdn.example.org", nil), ("one.cdn.example.org", "one.cdn.example.org"), ("", nil),
        ])
    func match(host: String, expected: String?) throws {
        let hosts = try self.hosts(
            "{hosts: [\"*.cdn.example.org\", api.example.org, one.cdn.example.org], ports: [{port: 8000, protocol: http}]}"
        )
        let found = HostIndex(hosts).find(Array(host.utf8).rawSpan, port: 80)
        #expect(found?.name == expected)
    }

    @Test(
        "takes the port that was asked for when it is listed, else the first of HTTP, else 80",
        arguments: [
            ("[{port: 443, protocol: HTTPS}, {port: 8000, protocol: Http}]", nil, 8000),
            ("[{port: 443, protocol: HTTPS}, {port: 8000, protocol: Http}]", 443, 443),
            ("[{port: 443, protocol: HTTPS}, {port: 8000, protocol: Http}]", 9, 8000), ("[]", 9, 80),
        ] as [(String, UInt16?, UInt16)])
    func port(ports: String, asked: UInt16?, expected: UInt16) throws {
        let rule = try #require(try self.hosts("{hosts: [a.b], ports: \(ports)}").rules.first)
        #expect(rule.httpPort(requested: asked) == expected)
    }

    @Test(
        "names that are none are mistakes",
        arguments: [
            "a_b.org", "-a.org", "a-.org", "a..b", "a.*.org", String(repeating: "a", count: 64) + ".org", "a.b c",
        ])
    func mistakes(host: String) throws {
        let (_, problems) = try rules("egressRule: {a: [{hosts: [\"\(host)\"]}]}")
        #expect(problems.map(\.severity) == [.error])
    }
}
