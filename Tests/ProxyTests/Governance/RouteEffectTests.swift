// SPDX-License-Identifier: Apache-2.0

import Common
import TestSupport
import Testing

@testable import Proxy

@Suite struct RouteEffectTests {
    private func exchange(_ lines: String..., peer: String? = nil) throws -> Exchange {
        try TestExchange(TestExchange.directory([:])).make(lines, peer: peer)
    }

    // MARK: Fields

    private static let head = [
        "GET http://shop/ HTTP/1.1", "Host: shop", "X-Env: red", "Cookie: a=1", "x-env: green", "Cookie: b=2",
        "Authorization: x", "X-Tag: a",
    ]

    private func edited(_ edits: HeaderEdit...) throws -> [String] {
        var exchange = try TestExchange(TestExchange.directory([:])).make(Self.head)
        exchange.apply(RouteEffect(RouteAction(requestEdits: edits)))
        return exchange.requestHeaders.lines.map { "\($0): \($1)" }
    }

    @Test("fields go, by names that are known and by any others, however they are written")
    func remove() throws {
        let lines = try self.edited(.remove("X-ENV"), .remove("cookie"), .remove("authorization"), .remove("absent"))
        #expect(lines == ["Host: shop", "X-Tag: a"])
    }

    @Test("what is set is the only field of its name; what is added stands beside the others")
    func setAndAdd() throws {
        let lines = try self.edited(
            .set("x-env", "blue"), .set("Cookie", "c=3"), .set("X-New", ""), .add("x-tag", "b"),
            .add("Authorization", "y"))
        #expect(
            lines == [
                "Host: shop", "Authorization: x", "X-Tag: a", "x-env: blue", "Cookie: c=3", "X-New: ", "x-tag: b",
                "Authorization: y",
            ])
    }

    @Test("an edit acts on what earlier ones have made")
    func order() throws {
        let lines = try self.edited(.set("x-env", "a"), .add("x-env", "b"), .remove("cookie"), .add("cookie", "z"))
        #expect(lines.filter { $0.hasPrefix("x-env") } == ["x-env: a", "x-env: b"])
        #expect(lines.filter { $0.lowercased().hasPrefix("cookie") } == ["cookie: z"])
    }

    @Test("the same holds for an answer that is written down")
    func fixedReply() throws {
        let exchange = try self.exchange("GET http://shop/ HTTP/1.1", "Host: shop")
        let effect = RouteEffect(
            RouteAction(
                answer: .reply(FixedReply(status: 410, body: "b")),
                responseEdits: [.set("x-a", "1"), .set("X-A", "2"), .add("x-a", "3"), .set("Content-Type", "a/b")]))
        let answer = try #require(effect.action.answer)
        let reply = exchange.reply(answer, effect)
        #expect(reply.headers == [.init("X-A", "2"), .init("x-a", "3")])
        #expect(reply.status == 410 && reply.body == "b" && reply.contentType == "a/b")
    }

    @Test("what a route does twice is done once: a chain that comes back begins with what the client has sent")
    func twice() throws {
        var exchange = try self.exchange("GET http://shop/a/b HTTP/1.1", "Host: shop", "X-A: 1", "X-B: 2")
        let effect = RouteEffect(
            RouteAction(
                requestEdits: [.remove("x-a"), .add("x-b", "3"), .set("cookie", "c")],
                rewrite: .prefix(length: 2, replacement: Array("/v2".utf8)), host: "far.example"))
        exchange.apply(effect)
        let once = exchange.requestHeaders.lines.map { "\($0): \($1)" }
        #expect(once == ["X-B: 2", "Host: far.example", "x-b: 3", "cookie: c"])
        exchange.apply(effect)
        #expect(exchange.requestHeaders.lines.map { "\($0): \($1)" } == once)
        #expect(exchange.requestHeaders.string(in: exchange.request.path) == "/v2/b")
        #expect(exchange.requestHeaders.string(in: exchange.askedPath) == "/a/b")
        exchange.apply(RouteEffect(RouteAction()))
        #expect(exchange.requestHeaders.lines.map { "\($0): \($1)" } == ["Host: shop", "X-A: 1", "X-B: 2"])
        #expect(exchange.requestHeaders.string(in: exchange.request.path) == "/a/b")
    }

    private static func hosts(_ lines: [String], _ host: String? = nil, _ edit: (inout RouteExtras) -> Void) throws
        -> [String]
    {
        var exchange = try TestExchange(TestExchange.directory([:])).make(
            ["GET http://shop/a HTTP/1.1", "Host: shop"] + lines)
        var extras = RouteExtras()
        edit(&extras)
        let effect = RouteEffect(
            RouteAction(requestEdits: [.add("X-Made", "made.example")], host: host, extras: extras))
        // Whatever a chain does twice.
        exchange.apply(effect)
        exchange.apply(effect)
        return exchange.requestHeaders.lines.filter { $0.name != "X-Made" }.map { "\($0): \($1)" }
    }

    @Test("Host says what a field says, behind the changes of the route, where it says something")
    func hostField() throws {
        #expect(
            try Self.hosts(["X-Host: a.example:8"]) { $0.hostField = "x-host" } == [
                "X-Host: a.example:8", "Host: a.example:8",
            ])
        #expect(try Self.hosts([]) { $0.hostField = "x-host" } == ["Host: shop"])
        #expect(try Self.hosts(["X-Host: "]) { $0.hostField = "x-host" } == ["Host: shop", "X-Host: "])
        #expect(try Self.hosts([]) { $0.hostField = "x-made" } == ["Host: made.example"])
    }

    @Test("X-Forwarded-Host says besides what Host has said before, unless that is the last already")
    func keptHost() throws {
        #expect(try Self.hosts([], "b") { $0.keepsHost = true } == ["X-Forwarded-Host: shop", "Host: b"])
        #expect(
            try Self.hosts(["X-Forwarded-Host: a"], "b") { $0.keepsHost = true }
                == ["X-Forwarded-Host: a,shop", "Host: b"])
        #expect(
            try Self.hosts(["X-Forwarded-Host: a, shop"], "b") { $0.keepsHost = true }
                == ["X-Forwarded-Host: a, shop", "Host: b"])
        #expect(try Self.hosts([]) { $0.keepsHost = true } == ["Host: shop"])
        let lines = try Self.hosts([]) { extras in
            extras.keepsHost = true
            extras.hostField = "x-made"
        }
        #expect(lines == ["X-Forwarded-Host: shop", "Host: made.example"])
    }

    @Test("each endpoint gets the Host that it wants, upon what the route has made")
    func hosts() throws {
        var exchange = try self.exchange("GET http://shop/a HTTP/1.1", "Host: shop", "X-A: 1")
        exchange.apply(
            RouteEffect(RouteAction(requestEdits: [.remove("x-a"), .add("x-b", "3")], host: "route.example")))
        for host in ["one.example", "two.example", nil] {
            exchange.setHost(of: host.map { HeaderLine("Host", $0) })
            let lines = exchange.requestHeaders.lines.map { "\($0): \($1)" }
            #expect(lines == (host.map { ["x-b: 3", "Host: \($0)"] } ?? ["Host: route.example", "x-b: 3"]))
            // What is done for one try alone.
            exchange.requestHeaders.remove(.host)
            exchange.requestHeaders.append(HeaderLine("X-Try", "1"))
        }
        exchange.setHost(of: nil)
        #expect(exchange.requestHeaders.lines.map { "\($0): \($1)" } == ["Host: route.example", "x-b: 3"])
    }

    @Test("a target does all that its route does, and its own; others do as the route does")
    func targets() throws {
        let own = RouteAction(requestEdits: [.set("a", "1"), .set("a", "2")])
        let route = Route(
            match: .always, weights: [1, 1], action: RouteAction(requestEdits: [.set("a", "1")]),
            targetActions: [nil, own], at: ConfigLocation("f"))
        let plain = Route(match: .always, weights: [1], at: ConfigLocation("f"))
        let cluster = Cluster(InstanceTags())
        let host = VirtualHost([(route, [cluster, cluster]), (plain, [cluster])], plain: "")
        let effects = RouteEffect.all(of: host, upon: [])
        #expect(effects.map { $0 == nil } == [false, true])
        let effect = try #require(effects[0])
        #expect(effect.effect(of: 0) === effect && effect.effect(of: 1).action === own)
        #expect(effect.effect(of: 0).requestEdits.count == 1 && effect.effect(of: 1).requestEdits.count == 2)
        #expect(!effect.choosesFirst)
    }

    @Test("a request has its target before its origin is looked at, where a target has a policy of its own")
    func policiesOfTargets() {
        var extras = RouteExtras()
        extras.cors = CORSPolicy()
        for isOwn in [false, true] {
            extras.hasOwnCORS = isOwn
            let target = RouteEffect(RouteAction(extras: extras))
            let effect = RouteEffect(RouteAction(), targets: [nil, target])
            #expect(effect.choosesFirst == isOwn && effect.hinders == isOwn)
        }
    }

    @Test("a limit that is the same goes on, whatever else of its route has changed; another one begins anew")
    func limiters() throws {
        func effects(_ rate: Int, _ edit: String, upon old: [RouteEffect?] = []) -> [RouteEffect?] {
            let routes = (0..<3).map { index in
                let limit = RouteLimit(rate: rate, key: index < 2 ? "a" : "b")
                let action = RouteAction(requestEdits: [.remove(edit)], limit: limit)
                return (
                    Route(match: .always, weights: [1], action: action, at: ConfigLocation("f")),
                    [Cluster(InstanceTags())]
                )
            }
            return RouteEffect.all(of: VirtualHost(routes, plain: edit), upon: old)
        }
        let old = effects(5, "x")
        let limiter = try #require(old[0]?.limiter)
        #expect(old[1]?.limiter === limiter && old[2]?.limiter !== limiter && old[2]?.limiter != nil)
        let new = effects(5, "y", upon: old)
        #expect(new[0] !== old[0] && new[0]?.limiter === limiter && new[1]?.limiter === limiter)
        #expect(effects(6, "y", upon: old)[0]?.limiter !== limiter)
    }

    // MARK: Paths

    @Test(
        "a prefix gives way with one slash where the two meet, and the query stays",
        arguments: [
            ("/shop/items?a=/shop", 5, "/v2", "/v2/items?a=/shop"), ("/shop", 5, "/v2", "/v2"),
            ("/shop/items", 5, "/", "/items"), ("/shop", 5, "/", "/"), ("/shop/items", 5, "", "/items"),
            ("/shop", 5, "", "/"), ("/shop?x", 5, "", "/?x"), ("/shop?x", 5, "/", "/?x"),
            ("/shop/items", 6, "", "/items"), ("/shop/items", 6, "/v2/", "/v2/items"),
            ("/shopping", 5, "/v2", "/v2ping"), ("/a/b", 0, "/v2", "/v2/a/b"), ("/a//b", 2, "/c/", "/c//b"),
        ])
    func prefix(path: String, length: Int, replacement: String, expected: String) throws {
        var exchange = try self.exchange("GET http://shop\(path) HTTP/1.1", "Host: shop")
        let rewrite = PathRewrite.prefix(length: length, replacement: Array(replacement.utf8))
        #expect(exchange.location(Redirect(rewrite: rewrite)) == "http://shop\(expected)")
        exchange.apply(RouteEffect(RouteAction(rewrite: rewrite)))
        #expect(exchange.requestHeaders.string(in: exchange.request.path) == expected)
        #expect(exchange.requestHeaders.string(in: exchange.askedPath) == path)
    }

    @Test(
        "a whole path gives way, and the query stays", arguments: [("/a", "/b"), ("/a?q=1?", "/b?q=1?"), ("/?", "/b?")])
    func whole(path: String, expected: String) throws {
        var exchange = try self.exchange("GET http://shop\(path) HTTP/1.1", "Host: shop", "X-A: 1")
        exchange.apply(RouteEffect(RouteAction(rewrite: .whole(Array("/b".utf8)), host: "far.example")))
        #expect(exchange.requestHeaders.string(in: exchange.request.path) == expected)
        #expect(exchange.requestHeaders.lines.map { "\($0): \($1)" } == ["X-A: 1", "Host: far.example"])
    }

    @Test(
        "what an expression finds gives way in the path alone, which begins with a slash whatever comes out",
        arguments: [
            ("/a/b?a=a", "a", "cc", "/cc/b?a=a"), ("/a", "/a", "", "/"), ("", "^/$", "/root", "/root"),
            ("?a", "^/$", "/root", "/root?a"), ("/a/b", "^/a/", "x/", "/x/b"),
        ])
    func pattern(path: String, find: String, replacement: String, expected: String) throws {
        var exchange = try self.exchange("GET http://shop\(path) HTTP/1.1", "Host: shop")
        let rewrite = PathRewrite.pattern(try PatternRewrite(find, replacement))
        #expect(exchange.location(Redirect(rewrite: rewrite)) == "http://shop\(expected)")
        #expect(exchange.location(Redirect(rewrite: rewrite, keepsPort: true)) == "http://shop\(expected)")
        exchange.apply(RouteEffect(RouteAction(rewrite: rewrite)))
        #expect(exchange.requestHeaders.string(in: exchange.request.path) == expected)
    }

    // MARK: Redirects

    @Test(
        "a redirect says what is configured, and the rest as the client has asked for it",
        arguments: [
            (Redirect(), "http://shop/a?b=c", "http://shop/a?b=c"),
            (Redirect(), "http://shop:80/a", "http://shop/a"), (Redirect(), "http://shop:8080/a", "http://shop:8080/a"),
            (Redirect(), "http://[::1]:8080/a", "http://[::1]:8080/a"),
            (Redirect(scheme: "https"), "http://shop/a", "https://shop/a"),
            (Redirect(scheme: "https"), "http://shop:8080/a", "https://shop/a"),
            (Redirect(scheme: "https", port: 8443), "http://shop/a", "https://shop:8443/a"),
            (Redirect(scheme: "https", port: 443), "http://shop:1/a", "https://shop/a"),
            (Redirect(port: 443), "http://shop/a", "http://shop:443/a"),
            (Redirect(host: "far.example"), "http://shop:8080/a?b", "http://far.example:8080/a?b"),
            (Redirect(host: "[::2]", port: 80), "http://shop:8080/a", "http://[::2]/a"),
            (Redirect(rewrite: .whole(Array("/n".utf8))), "http://shop/a?b=c?d", "http://shop/n?b=c?d"),
        ])
    func location(redirect: Redirect, url: String, expected: String) throws {
        let exchange = try self.exchange("GET \(url) HTTP/1.1", "Host: shop")
        #expect(exchange.location(redirect) == expected)
    }

    @Test("a client that speaks TLS is sent on with TLS")
    func secure() throws {
        var exchange = try self.exchange("GET /a HTTP/1.1", "Host: shop:8443")
        exchange.isSecure = true
        #expect(exchange.location(Redirect()) == "https://shop:8443/a")
        #expect(exchange.location(Redirect(scheme: "http")) == "http://shop/a")
    }

    // MARK: Hashes

    private func hash(_ keys: [HashKey], _ lines: String..., path: String = "/", peer: String? = nil) throws -> UInt64?
    {
        let head = ["GET http://shop\(path) HTTP/1.1", "Host: shop"] + lines
        var exchange = try TestExchange(TestExchange.directory([:])).make(head, peer: peer)
        return exchange.hash(RouteEffect(RouteAction(hashKeys: keys)))
    }

    private static func hash(of text: String) -> UInt64 {
        let bytes = Array(text.utf8)
        return HashRing.hash(bytes.rawSpan)
    }

    @Test("each kind of key finds its value")
    func kinds() throws {
        let (header, cookie, query) = (Array("x-user".utf8), Array("id".utf8), Array("u".utf8))
        #expect(try self.hash([HashKey(.header(header))], "X-User: 7", "X-User: 8") == Self.hash(of: "7"))
        #expect(try self.hash([HashKey(.cookie(cookie))], "Cookie: xid=1; id=7") == Self.hash(of: "7"))
        #expect(try self.hash([HashKey(.query(query))], path: "/?uu=1&u=7&u=8") == Self.hash(of: "7"))
        let first = try self.hash([HashKey(.source)], peer: "10.0.0.1")
        #expect(try first != nil && first == self.hash([HashKey(.source)], peer: "10.0.0.1"))
        #expect(try first != self.hash([HashKey(.source)], peer: "10.0.0.2"))
    }

    @Test("the first key that a request has counts, and a request without any has no hash")
    func firstOfAll() throws {
        let keys: [HashKey] = [HashKey(.header(Array("x-user".utf8))), HashKey(.query(Array("u".utf8)))]
        #expect(try self.hash(keys, "X-User: 7", path: "/?u=8") == Self.hash(of: "7"))
        #expect(try self.hash(keys, path: "/?u=8") == Self.hash(of: "8"))
        #expect(try self.hash(keys) == nil)
    }

    @Test("keys that are not the last one count together, in their order")
    func together() throws {
        let (user, tag) = (Array("x-user".utf8), Array("x-tag".utf8))
        let keys = [HashKey(.header(user), isLast: false), HashKey(.header(tag))]
        let both = try self.hash(keys, "X-User: 7", "X-Tag: 8")
        #expect(both == (Self.hash(of: "7") << 1 | Self.hash(of: "7") >> 63) ^ Self.hash(of: "8"))
        #expect(try self.hash(keys, "X-User: 7") == Self.hash(of: "7"))
        #expect(try self.hash(keys.reversed(), "X-User: 7", "X-Tag: 8") == Self.hash(of: "8"))
        let ends = [HashKey(.header(user), isLast: false), HashKey(.query(Array("u".utf8))), HashKey(.header(tag))]
        // What one has that is not the last is enough for the next one to be.
        #expect(try self.hash(ends, "X-User: 7", "X-Tag: 8") == Self.hash(of: "7"))
    }

    @Test("a client without the cookie is given one, and its requests with it have the same hash")
    func newCookie() throws {
        let cookie = NewCookie("id", lifetime: .seconds(60), path: "/a", attributes: ["Secure"])
        let effect = RouteEffect(RouteAction(hashKeys: [HashKey(.cookie(Array("id".utf8)), newCookie: cookie)]))
        var exchange = try self.exchange("GET http://shop/ HTTP/1.1", "Host: shop", "Cookie: id=", peer: "10.0.0.1")
        let hash = exchange.hash(effect)
        let field = try #require(exchange.balancing.newCookie)
        let value = try #require(field.split(separator: ";").first?.dropFirst(3))
        #expect(field == "id=\(value); Max-Age=60; Path=/a; Secure; HttpOnly" && value.count == 18)
        #expect(exchange.hash(effect) == hash && exchange.balancing.newCookie == field)
        for text in ["\(value)", "\(value.dropFirst().dropLast())"] {
            var next = try self.exchange("GET http://shop/ HTTP/1.1", "Host: shop", "Cookie: id=\(text)")
            #expect(next.hash(effect) == hash && next.balancing.newCookie == nil)
        }
        var other = try self.exchange("GET http://shop/ HTTP/1.1", "Host: shop", peer: "10.0.0.2")
        #expect(other.hash(effect) != hash)
        #expect(NewCookie("id", lifetime: .zero).field("7") == "id=\"7\"; HttpOnly")
    }

    @Test("a parameter is that of the path which the client has asked for")
    func hashOfRewritten() throws {
        var exchange = try self.exchange("GET http://shop/a?u=7 HTTP/1.1", "Host: shop")
        let effect = RouteEffect(
            RouteAction(rewrite: .whole(Array("/b".utf8)), hashKeys: [HashKey(.query(Array("u".utf8)))]))
        exchange.apply(effect)
        #expect(exchange.hash(effect) == Self.hash(of: "7"))
    }
}
