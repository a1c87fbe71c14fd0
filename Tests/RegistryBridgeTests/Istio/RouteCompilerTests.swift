// SPDX-License-Identifier: Apache-2.0

import Common
import FoundationEssentials
import IstioMessages
import SwiftProtobuf
import Testing

@testable import RegistryBridge

/// What routes of the control plane come to.
@Suite struct RouteCompilerTests {
    private static func route(_ edit: (inout XDSRoute) throws -> Void = { _ in }) rethrows -> XDSRoute {
        var route = XDSRoute()
        route.match.prefix = "/a"
        route.route.cluster = "one"
        try edit(&route)
        return route
    }

    private func compile(
        _ edit: (inout XDSRoute) throws -> Void
    ) throws -> (routes: [Route], gaps: Set<String>) {
        try self.compile(host: { _ in }, edit)
    }

    private func compile(
        host: (inout XDSVirtualHost) throws -> Void, _ edit: (inout XDSRoute) throws -> Void
    ) throws -> (routes: [Route], gaps: Set<String>) {
        var virtualHost = XDSVirtualHost()
        virtualHost.name = "shop"
        virtualHost.routes = [try Self.route(edit)]
        try host(&virtualHost)
        var compiler = RouteCompiler(virtualHost, of: XDSRouteConfiguration())
        let routes = try compiler.routes().map(\.route)
        return (routes, compiler.gaps)
    }

    private static func any(_ message: some SwiftProtobuf.Message, _ type: String) throws -> Google_Protobuf_Any {
        var any = Google_Protobuf_Any()
        any.typeURL = "type.googleapis.com/\(type)"
        any.value = try message.serializedData()
        return any
    }

    @Test("what is passed over is told")
    func passedOver() throws {
        let (routes, gaps) = try self.compile {
            $0.match.headers = [.with { ($0.name, $0.exactMatch) = ("X-Forwarded-Proto", "http") }]
            $0.route.priority = .high
            $0.route.hedgePolicy = .init()
            $0.route.retryPolicy.retryOn = "5xx"
            $0.route.retryPolicy.perTryIdleTimeout.seconds = 1
        }
        #expect(routes.count == 1 && gaps.count == 4, "\(gaps)")
    }

    // MARK: Pages of other origins

    private static let cors = "envoy.filters.http.cors"

    private static func policy(_ edit: (inout XDSCorsPolicy) -> Void) throws -> Google_Protobuf_Any {
        var policy = XDSCorsPolicy()
        edit(&policy)
        return try Self.any(policy, "envoy.extensions.filters.http.cors.v3.CorsPolicy")
    }

    @Test("each part of a CORS policy is what the nearest level says of it")
    func corsLevels() throws {
        let (routes, gaps) = try self.compile(host: { host in
            host.typedPerFilterConfig[Self.cors] = try Self.policy { policy in
                policy.allowOriginStringMatch = [.with { $0.exact = "http://a" }]
                policy.allowMethods = "POST"
                policy.allowCredentials.value = true
                policy.forwardNotMatchingPreflights.value = false
            }
            host.cors.allowHeaders = "not asked"
        }) { route in
            route.typedPerFilterConfig[Self.cors] = try Self.policy { $0.allowMethods = "GET" }
        }
        let policy = try #require(routes.first?.action?.extras.cors)
        #expect(policy.origins.map { "\($0)" } == ["= \"http://a\""])
        #expect(policy.methods == "GET" && policy.allowsCredentials && !policy.passesOnOthers)
        #expect(policy.headers.isEmpty && gaps.isEmpty)
    }

    @Test("a policy that is off for the route is none")
    func corsOff() throws {
        var off = XDSFilterConfig()
        off.disabled = true
        let (routes, _) = try self.compile(host: { host in
            host.typedPerFilterConfig[Self.cors] = try Self.policy { $0.allowMethods = "GET" }
        }) { $0.typedPerFilterConfig[Self.cors] = try Self.any(off, "envoy.config.route.v3.FilterConfig") }
        #expect(routes.first?.action?.extras.cors == nil)
    }

    @Test("the old fields count where no level has settings of the filter, those of v2 too")
    func corsOfOld() throws {
        let (routes, _) = try self.compile(host: { $0.cors.exposeHeaders = "x-host" }) { route in
            route.route.cors.allowOrigin = ["http://a"]
            route.route.cors.allowOriginRegex = ["b+"]
            route.route.cors.enabled.value = false
        }
        let policy = try #require(routes.first?.action?.extras.cors)
        #expect(policy.origins.map { "\($0)" } == ["= \"http://a\"", "~ \"\\A(?:b+)\\z\""])
        #expect(policy.exposed == "x-host" && policy.share == 0 && policy.passesOnOthers)
    }

    @Test("a weighted cluster has a policy of its own, of which the route and its host say the rest")
    func corsOfClusters() throws {
        var off = XDSFilterConfig()
        off.disabled = true
        let (routes, gaps) = try self.compile(host: { host in
            host.typedPerFilterConfig[Self.cors] = try Self.policy { $0.allowHeaders = "x-host" }
        }) { route in
            route.typedPerFilterConfig[Self.cors] = try Self.policy { policy in
                (policy.allowMethods, policy.maxAge) = ("GET", "7")
            }
            let own = try Self.policy { policy in
                policy.allowOriginStringMatch = [.with { $0.exact = "http://a" }]
                policy.allowMethods = "PUT"
            }
            let disabled = try Self.any(off, "envoy.config.route.v3.FilterConfig")
            route.route.weightedClusters.clusters = ([own, nil, disabled] as [Google_Protobuf_Any?]).map { config in
                .with { target in
                    (target.name, target.weight.value) = ("c", 1)
                    target.typedPerFilterConfig[Self.cors] = config
                }
            }
        }
        let route = try #require(routes.first)
        let policy = try #require(route.targets[0].action?.extras.cors)
        #expect(policy.origins.count == 1 && policy.methods == "PUT" && policy.maxAge == "7")
        #expect(policy.headers == "x-host" && gaps.isEmpty)
        #expect(route.targets[1].action == nil && route.action?.extras.cors?.methods == "GET")
        #expect(route.targets[2].action?.extras.hasOwnCORS == true && route.targets[2].action?.extras.cors == nil)
    }

    @Test("a policy that cannot be meant refuses the table")
    func corsMistakes() throws {
        #expect(throws: ResourceMistake.self) {
            try self.compile { $0.route.cors.allowOriginRegex = ["("] }
        }
        #expect(throws: ResourceMistake.self) {
            try self.compile { route in
                route.typedPerFilterConfig[Self.cors] = try Self.policy { $0.maxAge = "1\r\n" }
            }
        }
    }

    // MARK: Paths

    @Test("a path is rewritten by an expression, of a redirect too; one that cannot be refuses the table")
    func patterns() throws {
        var message = XDSRegexMatchAndSubstitute()
        message.pattern.regex = "^/a(.*)"
        message.substitution = #"/b\1"#
        let rewrite = PathRewrite.pattern(try PatternRewrite("^/a(.*)", #"/b\1"#))
        #expect(try self.compile { $0.route.regexRewrite = message }.routes.first?.action?.rewrite == rewrite)
        let answer = try self.compile { $0.redirect.regexRewrite = message }.routes.first?.action?.answer
        #expect(answer == .redirect(Redirect(rewrite: rewrite, keepsPort: true)))
        message.substitution = #"/b\2"#
        #expect(throws: ResourceMistake.self) { try self.compile { $0.route.regexRewrite = message } }
        #expect(throws: ResourceMistake.self) { try self.compile { $0.redirect.regexRewrite = message } }
        #expect(throws: ResourceMistake.self) {
            try self.compile { route in
                route.route.regexRewrite.pattern.regex = "("
            }
        }
    }

    // MARK: Fields

    private func edits(_ value: String, keepsEmpty: Bool = false) throws -> (edits: [HeaderEdit], gaps: Set<String>) {
        let (routes, gaps) = try self.compile { route in
            route.name = "first"
            route.requestHeadersToAdd = [
                .with { option in
                    option.header.key = "x-a"
                    option.header.value = value
                    option.keepEmptyValue = keepsEmpty
                }
            ]
        }
        return (routes.first?.action?.requestEdits ?? [], gaps)
    }

    @Test("a value is filled in for each request, or known already; an unknown one refuses the table")
    func formats() throws {
        #expect(try self.edits("100%%").edits == [.add("x-a", "100%")])
        #expect(try self.edits("%ROUTE_NAME%").edits == [.add("x-a", "first")])
        let format = try FieldFormat("%REQ(b)%")
        #expect(
            try self.edits("%REQ(b)%", keepsEmpty: true).edits
                == [.filled(.add("x-a", "%REQ(b)%"), format, keepsEmpty: true)])
        let missing = try self.edits("%CONNECTION_ID%")
        #expect(missing.edits.isEmpty && missing.gaps == ["the header x-a is not set: CONNECTION_ID is not filled in"])
        #expect(throws: ResourceMistake.self) { try self.edits("%NOBODY%") }
        #expect(throws: ResourceMistake.self) { try self.edits("50%") }
    }

    // MARK: Times

    @Test("the time of the whole takes the place of the timeout, that of gRPC calls is theirs alone")
    func times() throws {
        let whole = try self.compile { route in
            route.route.timeout.seconds = 1
            route.route.idleTimeout.seconds = 7
            route.route.maxStreamDuration.maxStreamDuration.seconds = 5
            route.route.maxStreamDuration.grpcTimeoutHeaderMax = .init()
            route.route.maxGrpcTimeout.seconds = 3
        }
        var stream = StreamLimits()
        (stream.whole, stream.asked, stream.silence) = (.seconds(5), .zero, .seconds(7))
        let limits = try #require(whole.routes.first?.action?.limits)
        #expect(limits.call == .zero && limits.idle == .seconds(7) && limits.grpcCall == nil)
        #expect(limits.stream == stream)
        let old = try self.compile { route in
            route.route.timeout.seconds = 1
            route.route.idleTimeout = .init()
            route.route.maxGrpcTimeout.seconds = 3
        }
        let oldLimits = try #require(old.routes.first?.action?.limits)
        #expect(oldLimits.call == .seconds(1) && oldLimits.grpcCall == .seconds(3) && oldLimits.stream == nil)
        #expect(throws: ResourceMistake.self) { try self.compile { $0.route.maxGrpcTimeout.seconds = -1 } }
    }

    // MARK: Faults

    private static let filter = "envoy.filters.http.fault"

    private static func fault(_ edit: (inout XDSHTTPFault) -> Void = { _ in }) throws -> Google_Protobuf_Any {
        var fault = XDSHTTPFault()
        fault.abort.httpStatus = 555
        fault.abort.percentage.numerator = 100
        edit(&fault)
        return try Self.any(fault, "envoy.extensions.filters.http.fault.v3.HTTPFault")
    }

    @Test("a fault is for some requests, and for so many at a time")
    func narrowFaults() throws {
        let (routes, gaps) = try self.compile { route in
            route.typedPerFilterConfig[Self.filter] = try Self.fault { fault in
                fault.headers = [
                    .with { header in
                        header.name = "x-user"
                        header.stringMatch.exact = "me"
                    }
                ]
                fault.maxActiveFaults.value = 3
            }
        }
        let fault = try #require(routes.first?.action?.fault)
        #expect(fault.fields.map { "\($0)" } == ["x-user = \"me\""] && fault.most == 3 && gaps.isEmpty)
    }

    @Test("a fault for another cluster is none, and for one of several it is that target's")
    func faultsOfClusters() throws {
        for (cluster, isDone) in [("one", true), ("two", false)] {
            let (routes, _) = try self.compile { route in
                route.typedPerFilterConfig[Self.filter] = try Self.fault { $0.upstreamCluster = cluster }
            }
            #expect((routes.first?.action?.fault != nil) == isDone)
        }
        let answer = try self.compile { route in
            route.directResponse.status = 200
            route.typedPerFilterConfig[Self.filter] = try Self.fault { $0.upstreamCluster = "one" }
        }
        #expect(answer.routes.first?.action?.fault == nil)
        func weighted(_ edit: (inout XDSRoute) throws -> Void) throws -> Route? {
            try self.compile { route in
                route.route.weightedClusters.clusters = ["one", "none", "two"].map { name in
                    .with { target in
                        target.name = name
                        target.weight.value = name == "none" ? 0 : 1
                    }
                }
                try edit(&route)
            }.routes.first
        }
        let some = try #require(
            try weighted { route in
                route.typedPerFilterConfig[Self.filter] = try Self.fault { $0.upstreamCluster = "two" }
            })
        #expect(some.action?.fault == nil && some.targets.map { $0.action?.fault != nil } == [false, true])
        let own = try #require(
            try weighted { $0.route.weightedClusters.clusters[0].typedPerFilterConfig[Self.filter] = try Self.fault() })
        #expect(own.action?.fault == nil && own.targets.map { $0.action?.fault != nil } == [true, false])
        let all = try #require(try weighted { $0.typedPerFilterConfig[Self.filter] = try Self.fault() })
        #expect(all.action?.fault != nil && all.targets.allSatisfy { $0.action == nil })
    }

    // MARK: Copies

    @Test("copies are those of the route, or else of its host, or else of its table")
    func mirrors() throws {
        func names(table: Bool, host: Bool, route: Bool) throws -> [String] {
            var configuration = XDSRouteConfiguration()
            var virtualHost = XDSVirtualHost()
            virtualHost.name = "shop"
            virtualHost.routes = [
                Self.route { message in
                    if route { message.route.requestMirrorPolicies = [.with { $0.cluster = "of route" }] }
                }
            ]
            if host { virtualHost.requestMirrorPolicies = [.with { $0.cluster = "of host" }] }
            if table { configuration.requestMirrorPolicies = [.with { $0.cluster = "of table" }] }
            configuration = try XDSRouteConfiguration(serializedBytes: configuration.serializedData() as Data)
            var compiler = RouteCompiler(virtualHost, of: configuration)
            let (made, clusters) = try #require(try compiler.routes().first)
            #expect(made.mirrors.count == clusters.count - 1)
            return Array(clusters.dropFirst())
        }
        #expect(try names(table: true, host: true, route: true) == ["of route"])
        #expect(try names(table: true, host: true, route: false) == ["of host"])
        #expect(try names(table: true, host: false, route: false) == ["of table"])
        #expect(try names(table: false, host: false, route: false) == [])
    }

    // MARK: The rest

    @Test("hosts, spans, upgrades and retries as the route says")
    func extras() throws {
        let (routes, gaps) = try self.compile { route in
            route.route.hostRewriteHeader = "X-Host"
            route.route.appendXForwardedHost = true
            route.route.upgradeConfigs = [
                .with { upgrade in
                    upgrade.upgradeType = "WebSocket"
                    upgrade.enabled.value = false
                }
            ]
            route.decorator.operation = "shop:80/*"
            route.route.retryPolicy.retryOn = "retriable-headers"
            route.route.retryPolicy.retriableHeaders = [.with { $0.name = "x-again" }]
            route.route.retryPolicy.retriableRequestHeaders = [.with { $0.name = "x-may" }]
        }
        let action = try #require(routes.first?.action)
        #expect(action.extras.hostField == "x-host" && action.extras.keepsHost && action.extras.refusesUpgrades)
        #expect(action.extras.operation == "shop:80/*" && gaps.isEmpty)
        #expect(action.retry?.conditions == .fields && action.retry?.fields.map(\.name) == ["x-again"])
        #expect(action.retry?.requestFields.map(\.name) == ["x-may"])
    }

    @Test("an answer of octets is sent as it is")
    func octets() throws {
        for (octets, isText) in [([0, 1, 255], false), ([104, 105], true)] as [([UInt8], Bool)] {
            let (routes, gaps) = try self.compile { route in
                route.directResponse.status = 200
                route.directResponse.body.inlineBytes = Data(octets)
            }
            guard case .reply(let reply)? = routes.first?.action?.answer else {
                Issue.record("it is no answer")
                return
            }
            #expect(reply.octets == (isText ? nil : octets) && (reply.body == "hi") == isText && gaps.isEmpty)
        }
    }

    // MARK: Heads

    private static func option(
        _ name: String, _ value: String, _ action: XDSHeaderValueOption.HeaderAppendAction = .appendIfExistsOrAdd
    ) -> XDSHeaderValueOption {
        var option = XDSHeaderValueOption()
        (option.header.key, option.header.value, option.appendAction) = (name, value, action)
        return option
    }

    @Test(
        "a field that delimits messages stays as it is",
        arguments: ["Content-Length", "transfer-encoding", "TE", "connection", "X-Mesher-Hops"])
    func framing(name: String) throws {
        let (routes, gaps) = try self.compile { route in
            route.requestHeadersToRemove = [name, "x-a"]
            route.responseHeadersToRemove = [name]
            route.requestHeadersToAdd = [Self.option(name, "1")]
            route.responseHeadersToAdd = [Self.option(name, "1", .overwriteIfExistsOrAdd)]
        }
        #expect(routes.first?.action?.requestEdits == [.remove("x-a")])
        #expect(routes.first?.action?.responseEdits == [])
        #expect(gaps.contains { $0.contains(name) }, "\(gaps)")
    }

    @Test("of one level, fields go first, then some are replaced, then others are added")
    func order() throws {
        let (routes, _) = try self.compile { route in
            route.requestHeadersToAdd = [
                Self.option("a", "1"), Self.option("a", "2", .overwriteIfExistsOrAdd), Self.option("a", "3"),
                Self.option("b", "4", .overwriteIfExists),
            ]
            route.requestHeadersToRemove = ["c"]
        }
        #expect(
            routes.first?.action?.requestEdits == [
                .remove("c"), .set("a", "2"), .setIfPresent("b", "4"), .add("a", "1"), .add("a", "3"),
            ])
    }

    @Test("all of a path that an expression matches is replaced")
    func expression() throws {
        let (routes, _) = try self.compile { route in
            route.match.safeRegex.regex = "/a/.*"
            route.route.prefixRewrite = "/b"
        }
        #expect(routes.first?.action?.rewrite == .whole(Array("/b".utf8)))
    }

    @Test("what the route says of Host counts more than what its weighted cluster says")
    func host() throws {
        func hosts(_ literal: String) throws -> [String?] {
            let (routes, _) = try self.compile { route in
                var cluster = XDSWeightedCluster.ClusterWeight()
                (cluster.name, cluster.weight.value, cluster.hostRewriteLiteral) = ("c", 1, "share.test")
                route.route.weightedClusters.clusters = [cluster]
                if !literal.isEmpty { route.route.hostRewriteLiteral = literal }
            }
            return routes.flatMap { route in route.targets.map { ($0.action ?? route.action)?.host } }
        }
        #expect(try hosts("") == ["share.test"])
        #expect(try hosts("route.test") == ["route.test"])
    }
}
