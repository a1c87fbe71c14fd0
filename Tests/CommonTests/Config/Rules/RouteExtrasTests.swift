// SPDX-License-Identifier: Apache-2.0

import Common
import Testing

/// Keys of `mesh.yaml` that few routes have.
@Suite struct RouteExtrasTests {
    /// The host `shop` with one route that leads to a cluster, and these keys.
    private static func mesh(_ keys: String) -> String {
        """
        mesh: {clusters: [{name: one, service: cart}], hosts: [{name: shop, routes: [
          {targets: [{cluster: one}], \(keys)}]}]}
        """
    }

    private func action(_ keys: String) throws -> RouteAction {
        let (config, problems) = try rules(Self.mesh(keys))
        #expect(problems.filter { $0.severity == .error } == [])
        return try #require(config.rules.routes.hosts["shop"]?.routes.first?.action)
    }

    @Test(
        "says what is wrong, and takes nothing",
        arguments: [
            ("cors: {}", "no page may read the answers"), ("cors: {origins: []}", "no page may read the answers"),
            ("cors: {origins: [{suffix: a}]}", "unknown key suffix"),
            ("cors: {origins: [{exact: a, prefix: b}]}", "an origin needs one of exact, prefix, regex"),
            ("cors: {origins: [{regex: '('}]}", "\"\\A(?:()\\z\" is no regular expression"),
            ("cors: {origins: [a], headers: ['x y']}", "\"x y\" is no header name"),
            ("cors: {origins: [a], maxAge: 5}", "\"5\" is no duration"),
            ("requestHeaders: {fill: {a: '%NOBODY%'}}", "\"%NOBODY%\": NOBODY is not known"),
            ("requestHeaders: {fill: {a: '50%'}}", "\"50%\": a percent sign begins nothing"),
            ("requestHeaders: {fill: {a: '%STREAM_ID%'}}", "\"%STREAM_ID%\": STREAM_ID is not filled in"),
            ("requestHeaders: {fill: {host: '%PROTOCOL%'}}", "host cannot be changed here"),
            ("timeouts: {grpc: 0s}", "no call of gRPC can do anything in no time"),
            ("timeouts: {whole: 5}", "\"5\" is no duration"),
            ("fault: {most: -1}", "\"-1\" is no whole number"),
            ("fault: {headers: {x-user: me}}", "a text stands where an operator belongs"),
            ("rewrite: {hostFrom: 'a b'}", "\"a b\" is no header name"),
            ("rewrite: {hostFrom: a, host: b}", "both host and hostFrom say what Host says"),
            ("websockets: no", "true or false belongs here"),
            ("rewrite: {regex: {}}", "nothing says what is replaced"),
            ("rewrite: {regex: {find: '('}}", "\"(\" is no regular expression"),
            (#"rewrite: {regex: {find: a, replace: '\1'}}"#, #""\1" asks for group 1"#),
            ("rewrite: {regex: {find: a}, path: /b}", "regex is not all that is to be replaced"),
        ])
    func mistakes(keys: String, expected: String) throws {
        let (config, problems) = try rules(Self.mesh(keys))
        let problem = try #require(problems.first)
        #expect(problem.problem.hasPrefix(expected), "\(problem)")
        #expect(problem.severity == .error && !problem.remedy.isEmpty && config.rules.routes.hosts.isEmpty)
    }

    @Test("compiles a policy for pages of other origins")
    func cors() throws {
        let keys = """
            cors: {origins: ["http://a", {regex: "b+"}], methods: [GET, PUT], headers: [x-a, x-b], expose: [x-c],
              maxAge: 10m, credentials: true, passOn: false}
            """
        let policy = try #require(try self.action(keys).extras.cors)
        #expect(policy.origins.map { "\($0)" } == ["= \"http://a\"", "~ \"\\A(?:b+)\\z\""])
        #expect(policy.methods == "GET, PUT" && policy.headers == "x-a, x-b" && policy.exposed == "x-c")
        #expect(policy.maxAge == "600" && policy.allowsCredentials && !policy.passesOnOthers && !policy.allowsAll)
        #expect(try self.action("cors: {origins: ['*']}").extras.cors?.passesOnOthers == true)
    }

    @Test("compiles an expression whose matches give way, in rewrites and in redirects")
    func pattern() throws {
        let rewrite = PathRewrite.pattern(try PatternRewrite("^/a(.*)", #"/b\1"#))
        #expect(try self.action(#"rewrite: {regex: {find: "^/a(.*)", replace: '/b\1'}}"#).rewrite == rewrite)
        let text = #"mesh: {hosts: [{name: shop, routes: [{redirect: {regex: {find: "^/a(.*)", replace: '/b\1'}}}]}]}"#
        let (config, problems) = try rules(text)
        #expect(problems == [])
        #expect(
            config.rules.routes.hosts["shop"]?.routes.first?.action?.answer == .redirect(Redirect(rewrite: rewrite)))
    }

    @Test("compiles limits of calls as a whole; none is no limit")
    func stream() throws {
        var limits = StreamLimits()
        (limits.whole, limits.asked) = (.seconds(30), .seconds(5))
        #expect(try self.action("timeouts: {whole: 30s, grpc: 5s}").limits.stream == limits)
        #expect(try self.action("timeouts: {whole: 0s, idle: 1s}").limits.stream == nil)
    }

    @Test("compiles what few routes have")
    func rest() throws {
        let action = try self.action(
            """
            rewrite: {hostFrom: X-Host, keepHost: true}, websockets: false, operation: shop,
            fault: {headers: {x-user: {exact: me}}, most: 2, abort: {status: 503}}
            """)
        #expect(action.extras.hostField == "x-host" && action.extras.keepsHost && action.extras.refusesUpgrades)
        #expect(action.extras.operation == "shop" && action.fault?.most == 2)
        #expect(action.fault?.fields.map { "\($0)" } == ["x-user = \"me\""])
    }

    @Test("a field is filled in for each message, or set where nothing changes")
    func fill() throws {
        let edits = try self.action("requestHeaders: {fill: {a: '%REQ(b)%'}}").requestEdits
        let format = try FieldFormat("%REQ(b)%")
        #expect(edits == [.filled(.set("a", "%REQ(b)%"), format, keepsEmpty: false)])
        let plain = try self.action("responseHeaders: {fill: {a: '100%%'}, set: {b: '100%'}}").responseEdits
        #expect(plain == [.set("b", "100%"), .set("a", "100%")])
    }

    @Test("warns where every page may act for its visitor")
    func credentials() throws {
        let problems = try rules(Self.mesh("cors: {origins: ['*'], credentials: true}")).problems
        #expect(problems.map(\.severity) == [.warning])
        #expect(problems.first?.problem == "every page can do what its visitor may")
    }
}
