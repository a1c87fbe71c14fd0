// SPDX-License-Identifier: Apache-2.0

import Common
import Testing

@Suite struct MeshRuleTests {
    private static let clusters =
        "clusters: [{name: one, service: cart}, {name: two, service: cart, tags: {version: 2}}]"

    /// The host `shop` with these routes.
    private static func mesh(_ routes: String, clusters: String = Self.clusters) -> String {
        "mesh: {\(clusters), hosts: [{name: shop, routes: [\(routes)]}]}"
    }

    private func shop(_ routes: String, clusters: String = Self.clusters) throws -> VirtualHost {
        let (config, problems) = try rules(Self.mesh(routes, clusters: clusters))
        #expect(problems.filter { $0.severity == .error } == [])
        return try #require(config.rules.routes.hosts["shop"])
    }

    // MARK: Mistakes

    @Test(
        "says what is wrong with a route, and takes nothing",
        arguments: [
            ("{}", "the route leads nowhere"),
            ("{target: [{cluster: one}]}", "unknown key target"),
            ("{targets: [{cluster: on}]}", "no cluster is called \"on\""),
            ("{targets: [one]}", "a map belongs here"),
            ("{targets: [{cluster: one}, {cluster: two, weight: 1}]}", "the target has no weight"),
            ("{targets: [{cluster: one, weight: 0}]}", "all weights of the route are 0"),
            ("{targets: [{cluster: one, weight: 1.5}]}", "\"1.5\" is no whole number from 0 to 1000000"),
            ("{reply: {}, targets: [{cluster: one}]}", "the route has more than one of targets, reply and redirect"),
            ("{reply: gone}", "a map belongs here"),
            ("{reply: {status: 100}}", "\"100\" is no whole number from 200 to 599"),
            ("{reply: {body: {a: b}}}", "a text belongs here"),
            ("{reply: {status: 204, body: x}}", "answers with the status 204 have no body"),
            (#"{reply: {contentType: "a\r\nb"}}"#, "no header can carry this text"),
            ("{reply: {}, hash: [{source: true}]}", "hash has no effect on a route that answers at once"),
            ("{reply: {}, rewrite: {path: /a}}", "rewrite has no effect on a route that answers at once"),
            ("{redirect: {status: 304}}", "304 is no redirect"),
            ("{redirect: {scheme: ftp}}", "\"ftp\" is no scheme"),
            ("{redirect: {host: 'a:80'}}", "\"a:80\" is no host"),
            ("{redirect: {host: '[a]'}}", "\"[a]\" is no host"),
            ("{redirect: {host: '*.a'}}", "\"*.a\" is no host"),
            ("{redirect: {port: 0}}", "\"0\" is no whole number from 1 to 65535"),
            ("{redirect: {path: b}}", "\"b\" is no path"),
            ("{redirect: {prefix: /b}}", "there is no prefix to replace"),
            ("{match: [/a], reply: {}}", "a map belongs here"),
            ("{match: [{paths: {exact: /a}}], reply: {}}", "unknown key paths"),
            ("{match: [{path: /a}], reply: {}}", "a map belongs here"),
            ("{match: [{path: {}}], reply: {}}", "the path needs one of exact, prefix, below, regex"),
            ("{match: [{path: {exact: /a, prefix: /b}}], reply: {}}", "the path needs one of"),
            ("{match: [{path: {exact: a}}], reply: {}}", "\"a\" is no path"),
            ("{match: [{path: {prefix: '/a?b'}}], reply: {}}", "\"/a?b\" is no path"),
            ("{match: [{path: {regex: '('}}], reply: {}}", "\"^(?:()$\" is no regular expression"),
            ("{match: [{headers: {x-env: canary}}], reply: {}}", "a text stands where an operator belongs"),
            ("{match: [{headers: {x-env: {exat: a}}}], reply: {}}", "unknown operator exat"),
            ("{match: [{headers: {'x env': {exact: a}}}], reply: {}}", "\"x env\" is no header name"),
            ("{match: [{headers: [x-env]}], reply: {}}", "a map belongs here"),
            ("{match: [{queries: [v]}], reply: {}}", "a map belongs here"),
            ("{match: [{methods: [get]}], reply: {}}", "\"get\" is no method"),
            ("{match: [{methods: ['GET,PUT']}], reply: {}}", "\"GET,PUT\" is no method"),
            ("{targets: [{cluster: one}], timeouts: 5s}", "a map belongs here"),
            ("{targets: [{cluster: one}], timeouts: {head: 5}}", "\"5\" is no duration"),
            ("{targets: [{cluster: one}], retry: 3}", "a map belongs here"),
            ("{targets: [{cluster: one}], retry: {attempts: 101}}", "\"101\" is no whole number from 0 to 100"),
            ("{targets: [{cluster: one}], retry: {nonIdempotent: yes}}", "true or false belongs here"),
            ("{targets: [{cluster: one}], retry: {statuses: [5xx]}}", "\"5xx\" is no whole number from 400 to 599"),
            ("{targets: [{cluster: one}], rewrite: /a}", "a map belongs here"),
            ("{targets: [{cluster: one}], rewrite: {path: '/a b'}}", "\"/a b\" is no path"),
            ("{targets: [{cluster: one}], rewrite: {prefix: /a}}", "there is no prefix to replace"),
            ("{match: [{path: {prefix: /a}}], targets: [{cluster: one}], rewrite: {prefix: a}}", "\"a\" is no path"),
            (
                "{match: [{path: {prefix: /a}}], targets: [{cluster: one}], rewrite: {prefix: /a, path: /b}}",
                "both prefix and path are to be replaced"
            ),
            (
                "{match: [{path: {regex: /a}}], targets: [{cluster: one}], rewrite: {prefix: /a}}",
                "there is no prefix to replace"
            ),
            ("{targets: [{cluster: one}], rewrite: {host: 'a b'}}", "\"a b\" is no host"),
            ("{targets: [{cluster: one}], requestHeaders: {set: [a]}}", "a map belongs here"),
            ("{targets: [{cluster: one}], requestHeaders: {set: {a: [b]}}}", "a text belongs here"),
            (#"{targets: [{cluster: one}], requestHeaders: {add: {a: "b\r\nc: d"}}}"#, "no header can carry this text"),
            ("{targets: [{cluster: one}], requestHeaders: {remove: ['a:']}}", "\"a:\" is no header name"),
            ("{targets: [{cluster: one}], requestHeaders: {set: {Host: a}}}", "Host cannot be changed here"),
            ("{targets: [{cluster: one}], requestHeaders: {remove: [expect]}}", "expect cannot be changed here"),
            (
                "{targets: [{cluster: one}], requestHeaders: {remove: [X-Mesher-Hop]}}",
                "X-Mesher-Hop cannot be changed here"
            ),
            ("{targets: [{cluster: one}], hash: [x-user]}", "a map belongs here"),
            ("{targets: [{cluster: one}], limit: 0}", "\"0\" is no whole number from 1 to"),
            ("{targets: [{cluster: one}], fault: {delay: {percent: 5}}}", "the delay has no time"),
            ("{targets: [{cluster: one}], fault: {delay: 5s}}", "a map belongs here"),
            ("{targets: [{cluster: one}], fault: {abort: {percent: 5}}}", "the abort has no status"),
            ("{targets: [{cluster: one}], fault: {abort: {status: 503, percent: 101}}}", "\"101\" is no percentage"),
            ("{targets: [{cluster: one}], fault: {abort: {status: 503, percent: 1e1}}}", "\"1e1\" is no percentage"),
            ("{targets: [{cluster: one}], fault: {aborts: {}}}", "unknown key aborts"),
            ("{targets: [{cluster: one, reply: {}}]}", "the target has both a cluster and a reply"),
            ("{targets: [{reply: {status: 99}}]}", "\"99\" is no whole number from 200 to 599"),
            ("{targets: [{reply: {}, requestHeaders: {remove: [a]}}]}", "requestHeaders has no effect on a target"),
            ("{targets: [{cluster: one, requestHeaders: {set: {host: a}}}]}", "host cannot be changed here"),
            ("{targets: [{cluster: one, responseHeaders: {put: {a: b}}}]}", "unknown key put"),
            ("{targets: [{cluster: one}], hash: [{source: yes}]}", "this is no hash key"),
            ("{targets: [{cluster: one}], hash: [{header: a, cookie: b}]}", "this is no hash key"),
        ])
    func routes(route: String, expected: String) throws {
        let (config, problems) = try rules(Self.mesh("{match: [{path: {exact: /}}], reply: {}}, \(route)"))
        let problem = try #require(problems.first)
        #expect(problem.problem.hasPrefix(expected), "\(problem)")
        #expect(problem.severity == .error && !problem.remedy.isEmpty && problem.key == "mesh")
        #expect(problem.location.source == "f" && problem.location.line == 1 && problem.location.column > 120)
        #expect(config.rules.routes.hosts.isEmpty && config.rules.routes.domains.domains.isEmpty)
    }

    @Test(
        "one mistake is told once, and not what follows from it",
        arguments: [
            "{target: [{cluster: one}], rewrite: {path: /a}}", "{targets: [{cluster: on}], timeouts: {call: 1s}}",
            "{redirects: {path: /a}}",
        ])
    func once(route: String) throws {
        let (_, problems) = try rules(Self.mesh("{match: [{path: {exact: /}}], reply: {}}, \(route)"))
        #expect(problems.count { $0.severity == .error } == 1, "\(problems)")
    }

    @Test(
        "says what is wrong with hosts and clusters",
        arguments: [
            ("hosts: [shop]", "a map belongs here"),
            ("hosts: [{routes: [{reply: {}}]}]", "the host has no name"),
            (
                "hosts: [{name: a, routes: [{reply: {}}]}, {name: a, routes: [{reply: {}}]}]",
                "the host a stands here twice"
            ),
            ("hosts: [{name: a, domains: [], routes: [{reply: {}}]}]", "the host has no domains"),
            ("hosts: [{name: a, domains: ['a:80'], routes: [{reply: {}}]}]", "\"a:80\" is no domain"),
            ("hosts: [{name: a, domains: ['a.*.b'], routes: [{reply: {}}]}]", "\"a.*.b\" is no domain"),
            ("hosts: [{name: a, domains: [b, B.], routes: [{reply: {}}]}]", "b belongs to the host a"),
            ("hosts: [{name: a, port: http, routes: [{reply: {}}]}]", "\"http\" is no whole number from 1 to 65535"),
            ("hosts: [{name: a}]", "the host has no routes"),
            ("hosts: [{name: a, profile: envoy, routes: [{reply: {}}]}]", "\"envoy\" is no profile"),
            ("clusters: [{service: a}]", "the cluster has no name"),
            ("clusters: [{name: a, service: a}, {name: a, service: b}]", "the cluster a stands here twice"),
            ("clusters: [{name: a, service: ''}]", "the service has no name"),
            ("clusters: [{name: a, service: b, tags: v2}]", "a map belongs here"),
            ("clusters: [{name: a}]", "nothing says where the cluster a is"),
            ("clusters: [{name: a, service: b, endpoints: ['10.0.0.1:80']}]", "the cluster a has both"),
            ("clusters: [{name: a, endpoints: []}]", "the cluster has no endpoints"),
            ("clusters: [{name: a, endpoints: ['10.0.0.1']}]", "\"10.0.0.1\" is no address with a port"),
            ("clusters: [{name: a, endpoints: ['cart.example:80']}]", "\"cart.example:80\" is no address with a port"),
            (
                "clusters: [{name: a, endpoints: ['10.0.0.1:80'], tags: {a: b}}]",
                "endpoints that are written down have no"
            ),
            ("clusters: [{name: a, endpoints: [{address: '10.0.0.1:80', weight: 0}]}]", "\"0\" is no whole number"),
            (
                "clusters: [{name: a, endpoints: [{address: '10.0.0.1:80', priority: 128}]}]",
                "\"128\" is no whole number"
            ),
            ("clusters: [{name: a, service: b, balancing: Best}]", "\"Best\" is no way to balance a cluster"),
            ("clusters: [{name: a, service: b, balancing: SessionStickiness}]", "\"SessionStickiness\" is no way"),
            ("clusters: [{name: a, service: b, limits: 5}]", "a map belongs here"),
            ("clusters: [{name: a, service: b, limits: {connections: 0}}]", "\"0\" is no whole number from 1 to"),
            ("clusters: [{name: a, service: b, limits: {pending: -1}}]", "\"-1\" is no whole number from 0 to"),
            ("clusters: [{name: a, service: b, limits: {connection: 1}}]", "unknown key connection"),
            ("clusters: [{name: a, service: b, tls: maybe}]", "\"maybe\" says nothing of TLS"),
            ("clusters: [{name: a, service: b, tls: on}]", "tls.yaml does not say how TLS is spoken to it"),
            (
                "clusters: [{name: a, service: b, tls: {tag: x.rest.Consumer}}]",
                "tls.yaml has no tag \"x.rest.Consumer\""
            ),
            ("clusters: [{name: a, service: b, tls: {serverName: '*.a'}}]", "\"*.a\" is no host"),
            ("clusters: [{name: a, service: b, tls: {name: a}}]", "unknown key name"),
            (
                "clusters: [{name: a, endpoints: [{address: '10.0.0.1:80', tls: on}]}]",
                "an endpoint can only do without TLS"
            ),
            (
                "clusters: [{name: a, endpoints: [{address: '10.0.0.1:80', locality: {zone: a}}]}]",
                "a locality begins with its region"
            ),
            (
                "clusters: [{name: a, endpoints: [{address: '10.0.0.1:80', locality: {region: a, subzone: b}}]}]",
                "a locality begins with its region"
            ),
            ("clusters: [{name: a, endpoints: [{address: '10.0.0.1:80', locality: north}]}]", "a map belongs here"),
            (
                "clusters: [{name: a, service: b, localityWeights: [{region: a, weight: 1}]}]",
                "only endpoints that are written down have localities"
            ),
            (
                "clusters: [{name: a, endpoints: ['10.0.0.1:80'], localityWeights: [{region: a}]}]",
                "the locality has no weight"
            ),
            (
                "clusters: [{name: a, endpoints: ['10.0.0.1:80'], localityWeights: [{region: a, weight: 0}]}]",
                "all weights of localities are 0"
            ),
            ("clusters: [{name: a, endpoints: [{address: '10.0.0.1:80', host: 'a:80'}]}]", "\"a:80\" is no host"),
            ("clusters: [{name: a, service: b, protocol: http3}]", "\"http3\" is no protocol"),
            ("clusters: [{name: a, service: b, panicThreshold: 101}]", "\"101\" is no whole number from 0 to 100"),
            ("clusters: [{name: a, service: b, connectTimeout: soon}]", "\"soon\" is no duration"),
        ])
    func others(mesh: String, expected: String) throws {
        let (config, problems) = try rules("mesh: {\(mesh)}")
        let problem = try #require(problems.first { $0.severity == .error })
        #expect(problem.problem.hasPrefix(expected), "\(problem)")
        #expect(!problem.remedy.isEmpty && problem.location.line == 1)
        #expect(config.rules.routes.hosts.isEmpty)
    }

    @Test(
        "warns of what has no effect, and takes the rest",
        arguments: [
            (Self.mesh("{reply: {}}, {targets: [{cluster: one}, {cluster: two}]}"), "no request comes to this route"),
            (Self.mesh("{targets: [{cluster: one}]}"), "no route leads to the cluster two"),
            (Self.mesh("{targets: [{cluster: one}], hash: [{source: true}]}"), "hash has no effect"),
            (
                Self.mesh(
                    "{targets: [{cluster: a}]}",
                    clusters:
                        "clusters: [{name: a, balancing: WeightedResponse, endpoints: [{address: '10.0.0.1:80', weight: 2}, {address: '10.0.0.2:80'}]}]"
                ),
                "WeightedResponse has no effect: weights, priorities and localities decide"
            ),
            (
                Self.mesh(
                    "{targets: [{cluster: a}]}",
                    clusters: "clusters: [{name: a, service: b, limits: {pending: 3}}]"),
                "pending has no effect: nothing limits the connections"
            ),
            (
                Self.mesh(
                    "{targets: [{cluster: a}]}",
                    clusters:
                        "clusters: [{name: a, endpoints: ['10.0.0.1:80'], localityWeights: [{region: n, weight: 1}]}]"),
                "rest://10.0.0.1:80 is in none of the localities, and gets no requests"
            ),
            (
                Self.mesh("{targets: [{cluster: one}]}") + "\nrouteRule: {shop: [{route: [{tags: {version: 1}}]}]}",
                "has no effect: mesh.yaml has a host for this name"
            ),
            (
                Self.mesh("{targets: [{cluster: one}]}")
                    + "\ncse.handler.chain.Consumer.outgoing: loadbalance,transport",
                "the chain has no router: requests to the host shop of mesh.yaml lead nowhere"
            ),
        ])
    func warnings(yaml: String, expected: String) throws {
        let (config, problems) = try rules(yaml)
        let problem = try #require(problems.first { $0.problem.hasPrefix(expected) }, "\(problems)")
        #expect(problem.severity == .warning && !problem.remedy.isEmpty && problem.location.line > 0)
        if problems.allSatisfy({ $0.severity != .error }) {
            #expect(config.rules.routes.hosts["shop"]?.unmatched == .notFound)
        }
    }

    // MARK: What it comes to

    @Test(
        "compiles what a route does",
        arguments: [
            ("{targets: [{cluster: one}]}", ["1 one"], nil),
            ("{targets: [{cluster: one, weight: 1}, {cluster: two, weight: 3}]}", ["1 one", "3 two"], nil),
            ("{targets: [{cluster: one, weight: 0}, {cluster: two, weight: 3}]}", ["3 two"], nil),
            ("{reply: {}}", [], RouteAction(answer: .reply(FixedReply(status: 200)))),
            (
                "{reply: {status: 410, body: '{}', contentType: application/json}}", [],
                RouteAction(answer: .reply(FixedReply(status: 410, body: "{}", contentType: "application/json")))
            ),
            (
                "{redirect: {scheme: https, host: '[::1]', port: 8443, path: /a, status: 307}}", [],
                RouteAction(
                    answer: .redirect(
                        Redirect(
                            status: 307, scheme: "https", host: "[::1]", port: 8443, rewrite: .whole(Array("/a".utf8))))
                )
            ),
            (
                "{targets: [{cluster: one}], retry: {attempts: 2, statuses: [503, 429], nonIdempotent: true}}",
                ["1 one"],
                RouteAction(
                    retry: RouteRetry(
                        {
                            var policy = RetryPolicy()
                            policy.onNext = 2
                            policy.includesNonIdempotent = true
                            return policy
                        }(), statuses: [429, 503]))
            ),
            (
                "{targets: [{cluster: one}], requestHeaders: {add: {c: d}, set: {A: b}, remove: [x]}}", ["1 one"],
                RouteAction(requestEdits: [.remove("x"), .set("A", "b"), .add("c", "d")])
            ),
            (
                "{match: [{path: {below: /a/}}], targets: [{cluster: one}], rewrite: {prefix: '', host: b.example}}",
                ["1 one"], RouteAction(rewrite: .prefix(length: 2, replacement: []), host: "b.example")
            ),
        ] as [(String, [String], RouteAction?)])
    func actions(route: String, targets: [String], action: RouteAction?) throws {
        let shop = try self.shop(route)
        let found = try #require(shop.routes.first)
        #expect(found.targets.map { "\($0.weight) \(shop.cluster(of: $0)?.name ?? "")" } == targets)
        #expect((found.action == nil) == (action == nil))
        #expect(found.action?.answer == action?.answer)
        #expect(found.action?.retry == action?.retry)
        #expect(found.action?.requestEdits == action?.requestEdits)
        #expect(found.action?.rewrite == action?.rewrite)
        #expect(found.action?.host == action?.host)
    }

    @Test("a target answers, or has the edits of its route and its own in one list")
    func targets() throws {
        let shop = try self.shop(
            """
            {requestHeaders: {set: {a: '1'}}, responseHeaders: {remove: [x]}, timeouts: {head: 1s}, targets: [
              {cluster: two, weight: 2},
              {reply: {status: 500}, weight: 1, responseHeaders: {set: {b: '2'}}},
              {cluster: one, weight: 3, requestHeaders: {set: {a: '2'}, add: {c: d}}}]}
            """)
        let targets = try #require(shop.routes.first?.targets)
        #expect(targets.map { shop.cluster(of: $0)?.name } == ["two", nil, "one"])
        #expect(targets.map(\.isAnswer) == [false, true, false] && targets.map(\.weight) == [2, 1, 3])
        #expect(targets[0].action == nil)
        #expect(targets[1].action?.answer == .reply(FixedReply(status: 500)))
        #expect(targets[1].action?.responseEdits == [.remove("x"), .set("b", "2")])
        #expect(targets[2].action?.requestEdits == [.set("a", "1"), .set("a", "2"), .add("c", "d")])
        #expect(targets[2].action?.responseEdits == [.remove("x")] && targets[2].action?.limits.head == .seconds(1))
    }

    @Test("a route limits and disturbs its requests; its matches share one limit, and other routes have others")
    func hindrances() throws {
        let shop = try self.shop(
            """
            {name: a, match: [{path: {exact: /a}}, {path: {exact: /b}}], limit: 5, reply: {}},
            {name: a, match: [{path: {exact: /c}}], limit: 5, targets: [{cluster: two}],
              fault: {delay: {time: 2s, percent: 0.5}, abort: {status: 503}}},
            {match: [{path: {exact: /d}}], limit: 5, targets: [{reply: {}, weight: 1}]}, {targets: [{cluster: one}]}
            """)
        let limits = shop.routes.map { $0.action?.limit }
        #expect(limits[0] != nil && limits[0] == limits[1] && limits.map { $0?.rate } == [5, 5, 5, 5, nil])
        #expect(Set([limits[0], limits[2], limits[3]]).count == 3)
        var fault = RouteFault()
        (fault.delay, fault.delayShare, fault.abortStatus, fault.abortShare) = (.seconds(2), 5000, 503, 1_000_000)
        #expect(shop.routes[2].action?.fault == fault)
    }

    @Test("a host says what mesher's own answers are like", arguments: ReplyProfile.allCases)
    func profiles(profile: ReplyProfile) throws {
        let yaml =
            "mesh: {hosts: [{name: shop, profile: \(profile.rawValue), routes: [{reply: {}}]}, {name: b, routes: [{reply: {}}]}]}"
        let (config, problems) = try rules(yaml)
        #expect(problems == [] && config.rules.routes.hosts["shop"]?.profile == profile)
        #expect(config.rules.routes.hosts["b"]?.profile == .serviceComb)
    }

    @Test("retries have what the host's have, where the route says nothing else")
    func retries() throws {
        func retry(_ route: String, _ settings: String) throws -> RetryPolicy {
            let yaml = Self.mesh("{targets: [{cluster: one}], retry: {\(route)}}") + "\n" + settings
            return try #require(try rules(yaml).config.rules.routes.hosts["shop"]?.routes.first?.action?.retry?.policy)
        }
        let settings = """
            mesher.retry: {maxBody: 1KiB, nonIdempotent: true, budgetPercent: 7}
            cse.loadbalance: {retryEnabled: true, retryOnSame: 3, shop.backoff: {kind: constant, minMs: 9}}
            """
        let host = try retry("attempts: 2", settings)
        #expect(host.onNext == 2 && host.onSame == 0 && !host.isFailover && host.budgetPercent == 7)
        #expect(host.maxBody == 1024 && host.includesNonIdempotent && host.backoff.minimum == .milliseconds(9))
        let own = try retry("nonIdempotent: false, budgetPercent: 100", settings)
        #expect(own.onNext == 1 && !own.includesNonIdempotent && own.budgetPercent == 100)
        let plain = try retry("", "")
        #expect(plain.onNext == 1 && !plain.includesNonIdempotent && plain.budgetPercent == 20)
    }

    @Test("limits are what is written, and 0 is none")
    func limits() throws {
        let route = "{targets: [{cluster: one}], timeouts: {head: 200ms, call: 2s, idle: 0s}}"
        var expected = RouteLimits()
        (expected.head, expected.call, expected.idle) = (.milliseconds(200), .seconds(2), .zero)
        #expect(try self.shop(route).routes[0].action?.limits == expected)
    }

    @Test("a route with several matches stands there once for each, in the order of the file")
    func severalMatches() throws {
        let routes = "{name: a, match: [{path: {exact: /a}}, {methods: [PUT]}], reply: {}}, {name: b, reply: {}}"
        #expect(try self.shop(routes).routes.map(\.name) == ["a", "a", "b"])
    }

    @Test("clusters carry what differs from the host")
    func clusters() throws {
        let cluster = """
            clusters: [{name: c, endpoints: [{address: '10.0.0.1:80', weight: 2, priority: 1}, '[::1]:81'],
              balancing: RingHash, panicThreshold: 50, connectTimeout: 1s,
              limits: {requests: 9, retries: 2, connections: 8, pending: 7},
              port: 82, protocol: http2}]
            """
        let found = try #require(try self.shop("{targets: [{cluster: c}]}", clusters: cluster).clusters.first)
        #expect(
            found.members
                == .fixed([
                    ClusterEntry("grpc://10.0.0.1:80", weight: 2, priority: 1), ClusterEntry("grpc://[::1]:81"),
                ]))
        var settings = ClusterSettings()
        settings.strategy = .ringHash
        settings.panicThreshold = 50
        settings.connectTimeout = .seconds(1)
        (settings.maxRequests, settings.maxRetries, settings.port, settings.isHTTP2) = (9, 2, 82, true)
        (settings.maxConnections, settings.maxPending) = (8, 7)
        #expect(found.settings == settings)
    }

    @Test(
        "TLS is spoken as a tag says, or as the service's does, or not at all",
        arguments: [
            ("off", .off, nil), ("on", .on, nil), ("{tag: far.rest.Consumer}", .tag("far.rest.Consumer"), nil),
            ("{tag: far.rest.Consumer, serverName: a.example}", .tag("far.rest.Consumer"), "a.example"),
            ("{serverName: a.example}", .on, "a.example"),
        ] as [(String, ClusterTLS, String?)])
    func tls(written: String, expected: ClusterTLS, name: String?) throws {
        let cluster = "{name: c, service: far, tls: \(written)}"
        let yaml =
            Self.mesh("{targets: [{cluster: c}]}", clusters: "clusters: [\(cluster)]")
            + "\nssl: {far.rest.Consumer.verifyPeer: false}"
        let (config, problems) = try rules(yaml)
        #expect(problems == [])
        let found = try #require(config.rules.routes.hosts["shop"]?.clusters.first?.settings)
        #expect(found.tls == expected && found.serverName == name)
    }

    @Test("endpoints say where they are, and places what they take")
    func localities() throws {
        let cluster = """
            clusters: [{name: c, endpoints: [{address: '10.0.0.1:80', locality: {region: n, zone: a, subzone: '1'}}],
              localityWeights: [{region: n, zone: a, weight: 3}]}]
            """
        let found = try #require(try self.shop("{targets: [{cluster: c}]}", clusters: cluster).clusters.first)
        let place = Locality(region: "n", zone: "a", subzone: "1")
        #expect(found.members == .fixed([ClusterEntry("rest://10.0.0.1:80", locality: place)]))
        #expect(found.settings?.localityWeights == [LocalityWeight(Locality(region: "n", zone: "a"), weight: 3)])
        #expect("\(place)" == "n/a/1")
    }

    @Test("domains are in lower case, without the dot of the root; a host without any has its name")
    func domains() throws {
        let yaml = """
            mesh: {hosts: [{name: Shop, routes: [{reply: {}}]},
              {name: b, domains: ['*.B.Example.', 'c.*', '*'], port: 81, routes: [{reply: {}}]}]}
            """
        let (config, problems) = try rules(yaml)
        #expect(problems == [])
        let domains = config.rules.routes.domains.domains.map { "\($0.pattern) \($0.port ?? 0) \($0.host)" }
        #expect(domains == ["shop 0 Shop", "*.b.example 81 b", "c.* 81 b", "* 81 b"])
    }

    @Test("two readings of one text say the same, so that what is known of its hosts stays")
    func plain() throws {
        let tags = (0..<20).map { "t\($0): \($0)" }.joined(separator: ", ")
        let clusters = "clusters: [{name: one, service: cart, tags: {\(tags)}}]"
        let plain = try (0..<4).map { _ in try self.shop("{targets: [{cluster: one}]}", clusters: clusters).plain }
        #expect(Set(plain).count == 1)
        let other = "clusters: [{name: one, service: other}]"
        #expect(try self.shop("{targets: [{cluster: one}]}", clusters: other).plain != plain[0])
    }
}
