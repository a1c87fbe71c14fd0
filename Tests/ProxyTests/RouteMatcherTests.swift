// SPDX-License-Identifier: Apache-2.0

import Common
import TestSupport
import Testing

@testable import Proxy

@Suite struct RouteMatcherTests {
    @Test("a rule about a name with underscores asks for that name, and not for another one of its kind")
    func aliases() {
        var random = FastRandom(seed: 1)
        let match = HeaderMatch("X_Real_IP", [.exact(.init("1"))])
        var request = RequestMatch()
        request.headers = [match]
        let rule = Route(precedence: 1, match: .request(request), weights: [100], at: ConfigLocation("test"))
        let matcher = RouteMatcher(VirtualHost([(rule, [Cluster(InstanceTags())])], plain: ""), active: [0])
        for (lines, isFound) in [
            (["X_Forwarded_For: 1"], false), (["X_Forwarded_For: 2", "x_real_ip: 1"], true), (["X-Real-IP: 1"], false),
        ] {
            var block = HeaderBlock()
            for line in lines {
                let parts = line.split(separator: ": ").map(String.init)
                block.append(HeaderLine(parts[0], parts[1]))
            }
            let found = matcher.route(for: RequestHead(), block, mark: nil, using: &random)
            #expect((found == 0) == isFound, "\(lines)")
        }
    }

    // MARK: Both ways

    /// Matches of every kind, alone and together: some are laid out flat, and some are asked themselves.
    private static let matches: [RequestMatch] = {
        let paths: [[TextMatch]] = [
            [], [.exact(.init("/a"))], [.prefix(.init("/a"))], [.segments(.init("/a"))], [.segments(.init(""))],
            [.exact(.init("/shop/items"))], [.prefix(.init("/shop/items"))], [.segments(.init("/shop/items"))],
            [.prefix(.init("/shop/it"))], [.notEqual(.init("/shop/items"))], [.suffix(.init("b"))],
            [.exact(.init("/A", ignoresCase: true))],
            [.exact(.init("/b")), .prefix(.init("/c"))],
            (try? RegularExpression("^(?:/[0-9]+)$")).map { [.regex($0)] } ?? [.never],
        ]
        let methods: [[String]] = [[], ["GET"], ["PUT", "POST"]]
        let headers: [[HeaderMatch]] = [
            [], [HeaderMatch("X-Env", [.exact(.init("a"))], isRequired: true)],
            [HeaderMatch("x-env", [.notEqual(.init("a"))])],
            [
                HeaderMatch("x-env", [.prefix(.init(""))], isRequired: true),
                HeaderMatch("Cookie", [.contains(.init("t"))]),
            ],
        ]
        let parameters: [[ParameterMatch]] = [
            [], [ParameterMatch("v", [.exact(.init("2"))])], [ParameterMatch("v", [.prefix(.init(""))])],
        ]
        var matches: [RequestMatch] = []
        for path in paths {
            for method in methods {
                for header in headers {
                    for parameter in parameters {
                        var match = RequestMatch()
                        (match.paths, match.headers, match.parameters) = (path, header, parameter)
                        match.methods = method.map { Array($0.utf8) }
                        matches.append(match)
                    }
                }
            }
        }
        return matches
    }()

    @Test(
        "a route that is laid out flat takes the requests that it would take by itself",
        arguments: [
            "/", "/a", "/a/b", "/ab", "/a?v=2", "/b?u=1&v=2", "/12?v", "/c?vv=2&v", "/A", "*", "", "/shop/items",
            "/shop/items/7?v=2", "/shop/itemsize", "/shap/items", "/shop/item", "/shop/it", "/shop/i?s/items",
        ])
    func sameAsSlow(path: String) throws {
        let exchanges = TestExchange(try TestExchange.directory([:]))
        let fields: [[String]] = [
            [], ["X-Env: a"], ["x-env: b", "X-ENV: a"], ["X-Env:", "Cookie: t=1"], ["X-Env: a", "Cookie: t=1"],
        ]
        var random = FastRandom(seed: 2)
        for method in ["GET", "PUT", "get"] {
            for lines in fields {
                let target = path == "*" ? "*" : "http://shop\(path)"
                if path == "*", method == "PUT" { continue }
                let head = [path == "*" ? "OPTIONS * HTTP/1.1" : "\(method) \(target) HTTP/1.1", "Host: shop"] + lines
                let exchange = try exchanges.make(head)
                var taken = 0
                for match in Self.matches {
                    let route = Route(match: .request(match), weights: [1], at: ConfigLocation("test"))
                    let host = VirtualHost([(route, [Cluster(InstanceTags())])], plain: "")
                    let found = RouteMatcher(host, active: [0])
                        .route(for: exchange.request, exchange.requestHeaders, mark: nil, using: &random)
                    let expected = route.matches(exchange.request, exchange.requestHeaders, mark: nil)
                    if (found == 0) != expected { Issue.record("\(head): \(match)") }
                    if expected { taken += 1 }
                }
                #expect(taken > 0 && taken < Self.matches.count)
            }
        }
    }

    @Test("the first of all routes that match is found, whichever of the two ways each is looked at")
    func firstOfAll() throws {
        let routes = Self.matches.map { (Route(match: .request($0), weights: [1], at: ConfigLocation("test"))) }
        let exchanges = TestExchange(try TestExchange.directory([:]))
        var random = FastRandom(seed: 3)
        for path in ["/", "/a/b", "/b?u=1&v=2", "/12?v"] {
            let exchange = try exchanges.make(["GET http://shop\(path) HTTP/1.1", "Host: shop", "X-Env: a"])
            for _ in 0..<50 {
                let some = (0..<12).map { _ in routes[Int(random.next(upperBound: UInt(routes.count)))] }
                let host = VirtualHost(some.map { ($0, [Cluster(InstanceTags())]) }, plain: "")
                let found = RouteMatcher(host, active: Array(host.routes.indices))
                    .route(for: exchange.request, exchange.requestHeaders, mark: nil, using: &random)
                let expected = host.routes.firstIndex {
                    $0.matches(exchange.request, exchange.requestHeaders, mark: nil)
                }
                #expect(found == expected)
            }
        }
    }
}
