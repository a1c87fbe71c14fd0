// SPDX-License-Identifier: Apache-2.0

import Common
import TestSupport
import Testing

@testable import Proxy

/// Pages of other origins: what their requests become, and what answers to them say.
@Suite struct CORSEffectTests {
    private static var terms: CORSPolicy {
        var policy = CORSPolicy()
        policy.origins = [.exact(.init("http://good.test")), .prefix(.init("https://"))]
        (policy.methods, policy.headers, policy.exposed, policy.maxAge) = ("GET, PUT", "x-a", "x-out", "60")
        policy.allowsCredentials = true
        return policy
    }

    private static func changed(_ edit: (inout CORSPolicy) -> Void) -> CORSPolicy {
        var policy = Self.terms
        edit(&policy)
        return policy
    }

    private func ask(
        _ lines: String..., method: String = "OPTIONS", of policy: CORSPolicy? = nil
    ) throws -> (reply: LocalReply?, isNoted: Bool) {
        var exchange = try TestExchange(TestExchange.directory([:])).make(
            ["\(method) http://shop/ HTTP/1.1", "Host: shop"] + lines)
        let reply = exchange.admitOrigin(CORSEffect(policy ?? Self.terms))
        return (reply, exchange.visit?.origin != nil)
    }

    private static let asksToPut = "Access-Control-Request-Method: PUT"

    @Test("a preflight of a page that may is answered with all that it may")
    func preflight() throws {
        let reply = try #require(try self.ask("Origin: http://good.test", Self.asksToPut).reply)
        #expect(reply.status == 200 && reply.body.isEmpty)
        #expect(
            reply.headers.map { "\($0.name): \($0.value)" } == [
                "access-control-allow-methods: GET, PUT", "access-control-allow-headers: x-a",
                "access-control-max-age: 60", "access-control-allow-origin: http://good.test",
                "access-control-allow-credentials: true", "access-control-expose-headers: x-out",
            ])
    }

    @Test("a preflight of another page is passed on, or answered without an origin")
    func others() throws {
        #expect(try self.ask("Origin: http://bad.test", Self.asksToPut).reply == nil)
        let strict = Self.changed { $0.passesOnOthers = false }
        let reply = try #require(try self.ask("Origin: http://bad.test", Self.asksToPut, of: strict).reply)
        #expect(!reply.headers.contains { $0.name == "access-control-allow-origin" })
        #expect(
            reply.headers.map(\.name) == [
                "access-control-allow-credentials", "access-control-allow-methods", "access-control-allow-headers",
                "access-control-max-age",
            ])
    }

    @Test(
        "what is no preflight is passed on, and its origin remembered where it may read the answer",
        arguments: [
            (["Origin: http://good.test"], "OPTIONS", true),
            (["Origin: http://good.test", "Access-Control-Request-Method: "], "OPTIONS", true),
            (["Origin: https://any.test", "Access-Control-Request-Method: PUT"], "GET", true),
            (["Origin: http://bad.test"], "GET", false),
            (["Origin: "], "GET", false), ([], "GET", false),
            (["Origin: http://good.test", "Origin: http://bad.test"], "GET", false),
        ])
    func requests(lines: [String], method: String, isNoted: Bool) throws {
        var exchange = try TestExchange(TestExchange.directory([:])).make(
            ["\(method) http://shop/ HTTP/1.1", "Host: shop"] + lines)
        let reply = exchange.admitOrigin(CORSEffect(Self.terms))
        #expect(reply == nil)
        #expect((exchange.visit?.origin != nil) == isNoted)
    }

    @Test("the star stands for every origin, whatever it is compared by")
    func all() throws {
        for origins in [[TextMatch.exact(.init("*"))], [.regex(try RegularExpression(".*"))]] {
            let policy = Self.changed { $0.origins = origins }
            #expect(policy.allowsAll)
            #expect(try self.ask("Origin: http://bad.test", method: "GET", of: policy).isNoted)
        }
    }

    @Test("a private network is told of where the page asks and may; no request is asked where the share is none")
    func rest() throws {
        let asks = "Access-Control-Request-Private-Network: true"
        let policy = Self.changed { $0.allowsPrivateNetwork = true }
        func tells(_ reply: LocalReply?) -> Bool {
            reply?.headers.contains(.init("access-control-allow-private-network", "true")) == true
        }
        #expect(tells(try self.ask("Origin: http://good.test", Self.asksToPut, asks, of: policy).reply))
        #expect(!tells(try self.ask("Origin: http://good.test", Self.asksToPut, of: policy).reply))
        #expect(!tells(try self.ask("Origin: http://good.test", Self.asksToPut, asks).reply))
        let never = Self.changed { $0.share = 0 }
        #expect(try self.ask("Origin: http://good.test", Self.asksToPut, of: never).reply == nil)
    }

    @Test("an answer says the origin in place of what is said there, behind the changes of the route")
    func answers() throws {
        var exchange = try TestExchange(TestExchange.directory([:])).make(
            ["GET http://shop/ HTTP/1.1", "Host: shop", "Origin: http://good.test"])
        var extras = RouteExtras()
        extras.cors = Self.terms
        let effect = RouteEffect(
            RouteAction(
                requestEdits: [.remove("origin")], responseEdits: [.set("Access-Control-Allow-Origin", "edited")],
                extras: extras))
        let cors = try #require(effect.cors)
        let none = exchange.admitOrigin(cors)
        #expect(none == nil)
        exchange.apply(effect)
        exchange.responseHeaders.append(HeaderLine("Access-Control-Allow-Origin", "*"))
        exchange.responseHeaders.append(HeaderLine("X-Out", "1"))
        exchange.applyToResponse(effect)
        #expect(
            exchange.responseHeaders.lines.map { "\($0): \($1)" } == [
                "X-Out: 1", "access-control-allow-origin: http://good.test", "access-control-allow-credentials: true",
                "access-control-expose-headers: x-out",
            ])
        var reply = LocalReply(status: 503)
        reply.headers = [.init("Access-Control-Allow-Origin", "edited")]
        exchange.showOrigin(in: &reply)
        #expect(
            reply.headers == [
                .init("access-control-allow-origin", "http://good.test"),
                .init("access-control-allow-credentials", "true"), .init("access-control-expose-headers", "x-out"),
            ])
    }

    @Test("an answer to a page that may not says nothing of origins")
    func strangers() throws {
        var exchange = try TestExchange(TestExchange.directory([:])).make(
            ["GET http://shop/ HTTP/1.1", "Host: shop", "Origin: http://bad.test"])
        var extras = RouteExtras()
        extras.cors = Self.terms
        let effect = RouteEffect(RouteAction(extras: extras))
        let cors = try #require(effect.cors)
        let none = exchange.admitOrigin(cors)
        #expect(none == nil)
        exchange.apply(effect)
        exchange.responseHeaders.append(HeaderLine("X-Out", "1"))
        exchange.applyToResponse(effect)
        #expect(exchange.responseHeaders.lines.map(\.name) == ["X-Out"])
    }
}
