// SPDX-License-Identifier: Apache-2.0

import Common
import Egress
import Proxy
import TestSupport
import Testing

@Suite struct ResolverTests {
    static let services = [
        "cart": ["rest://10.0.0.5:8080", "grpc://10.0.0.5:9000"], "orders": ["rest://10.0.0.7:1"],
        "stock": ["rest://10.0.0.7:2"], "near": ["rest://127.0.0.1:7000"], "six": ["rest://[fd00::7]:80"],
        "grpc-only": ["grpc://10.0.0.9:9000", "rest-admin://10.0.0.9:30102"], "10.9.9.9": ["rest://10.0.0.1:1"],
        "empty": [],
    ]

    private func ask(_ target: String, _ resolver: any DestinationResolver) throws -> TestExchange.Result {
        let exchanges = TestExchange(try TestExchange.directory(Self.services))
        let config = try TestSidecar.config([:])
        let stages = EgressStages(
            config, own: .none, resolver: resolver, token: HopToken(), marks: Marks(config.rules))
        return try exchanges.run(stages.inOrder, ["GET \(target) HTTP/1.1", "Host: ignored:1"])
    }

    @Test("configuration knows the resolvers that there are, and no other")
    func table() {
        #expect(Resolvers.table.map(\.name) == ResolverConfig.known)
        for name in ResolverConfig.known { #expect(type(of: Resolvers.make(name)).name == name) }
    }

    @Test(
        "host: the host is the name, and the port goes along",
        arguments: [
            ("http://cart/x", "cart", nil), ("http://CART:8080/x", "cart", "8080"), ("http://orders:1", "orders", "1"),
        ])
    func host(target: String, service: String, port: String?) throws {
        let result = try self.ask(target, HostResolver())
        #expect(result.error == nil && result.service == service)
        #expect(result.fields["x-forwarded-port"] == port)
        #expect(result.fields["x-cse-context"] == #"{"x-cse-src-microservice":"web"}"#)
    }

    @Test(
        "a request that was not sent as to a proxy is told how",
        arguments: ResolverConfig.known)
    func origin(name: String) throws {
        let error = try #require(try self.ask("/items", Resolvers.make(name)).error)
        #expect(error.status == 400 && error.body.hasPrefix("Invalid uri, please check:"))
    }

    @Test("authority: name and port", arguments: [("http://cart:8080/x", "cart"), ("http://orders:1/", "orders")])
    func authority(target: String, service: String) throws {
        let result = try self.ask(target, AuthorityResolver())
        #expect(result.service == service && result.error == nil)
    }

    @Test("authority: anything else is refused", arguments: ["http://cart/x", "http://[fd00::7]:80/", "http://cart:/"])
    func noAuthority(target: String) throws {
        let error = try #require(try self.ask(target, AuthorityResolver()).error)
        #expect(error.status == 400 && error.body.hasPrefix("the authority must be name:port"))
    }

    @Test(
        "ip: the service that has an instance there, or the name",
        arguments: [
            ("http://10.0.0.5:50051/x", "cart"), ("http://10.0.0.5/", "cart"), ("http://10.0.0.7:2/", "stock"),
            ("http://10.0.0.7:1/", "orders"), ("http://[fd00::7]/", "six"), ("http://[::ffff:10.0.0.5]/", "cart"),
            ("http://127.0.0.1:7000/", "near"), ("http://cart/", "cart"), ("http://10.9.9.9/", "10.9.9.9"),
        ])
    func ip(target: String, service: String) throws {
        let result = try self.ask(target, IPResolver())
        #expect(result.service == service && result.error == nil)
    }

    @Test(
        "ip: an address that nobody has, or several",
        arguments: [
            ("http://10.0.0.6:80/", 400, "no service found for ip [10.0.0.6]"),
            ("http://[fd00::8]/", 400, "no service found for ip [fd00::8]"),
            ("http://10.0.0.7:3/", 400, "several services found for ip [10.0.0.7]; name one of their ports"),
            (
                "http://169.254.169.254/", 403,
                "destination refused: [169.254.169.254] is no service; list it in no_proxy, so that it is called directly"
            ),
            (
                "http://[::ffff:10.0.0.6]/", 403,
                "destination refused: [::ffff:10.0.0.6] is no service; list it in no_proxy, so that it is called directly"
            ),
            ("http://nosuch/", 502, "lb: No available instance, key: nosuch()"),
            (
                "http://example.com/", 502,
                "lb: No available instance, key: example.com(); a host outside needs an egress rule, or a place in no_proxy"
            ),
        ])
    func unknown(target: String, status: Int, text: String) throws {
        let error = try #require(try self.ask(target, IPResolver()).error)
        #expect(error.status == status && error.body == text)
    }

    @Test("a service without an instance that speaks HTTP says what it speaks")
    func otherProtocol() throws {
        let error = try #require(try self.ask("http://grpc-only/", HostResolver()).error)
        #expect(
            error.body
                == "lb: No available instance for protocol server [rest] , microservice: grpc-only has "
                + "map[grpc:10.0.0.9:9000 rest-admin:10.0.0.9:30102]")
        #expect(error.status == 502)
    }

    @Test(
        "a resolver of one's own says where the name stands",
        arguments: [
            ("http://cart.shop.example:81/x", "cart", "81"), ("http://orders/", "orders", nil),
        ])
    func firstLabel(target: String, service: String, port: String?) throws {
        let result = try self.ask(target, FirstLabelResolver())
        #expect(result.service == service && result.error == nil)
        #expect(result.fields["x-forwarded-port"] == port)
    }

    @Test("a resolver of one's own is subject to the same refusals")
    func firstLabelRefused() throws {
        #expect(try self.ask("http://localhost.example/", FirstLabelResolver()).error?.status == 403)
        #expect(try self.ask("http://nosuch.example/", FirstLabelResolver()).error?.reason == .noEndpoint)
        #expect(try self.ask("http://.example/", FirstLabelResolver()).error?.reason == .destinationUnresolved)
    }
}

extension OwnListeners {
    /// The listeners of a configuration without a value: 127.0.0.1:30101.
    static var none: OwnListeners {
        var reader = ConfigReader(ConfigStore([]))
        return OwnListeners(ListenerConfig(&reader), machine: [])
    }
}
