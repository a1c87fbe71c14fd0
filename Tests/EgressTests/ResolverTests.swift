// SPDX-License-Identifier: Apache-2.0

import Common
@testable import Egress
import Proxy
import Testing
import TestSupport

@Suite struct ResolverTests {
    /// What a resolver makes of a target: `cart` for a name, `=cart` for a service, `400 …` for neither.
    private func resolve(_ resolver: some DestinationResolver, _ target: String) throws -> String {
        let directory = try TestExchange.directory([
            "cart": ["rest://10.0.0.1:80"], "a": ["rest://10.0.0.2:81"],
            "b": ["rest://10.0.0.2:82", "rest://[fd00::1]:83"],
        ])
        return try TestExchange.with(["GET http://\(target)/ HTTP/1.1", "Host: x"], directory: directory) { exchange in
            switch resolver.resolve(exchange, in: directory) {
            case .name(let range): exchange.requestHeaders.string(in: range)
            case .service(let service): "=\(service.name)"
            case .unresolved(let text): "400 \(text)"
            }
        }
    }

    @Test("host takes the host", arguments: [("cart", "cart"), ("Cart:80", "Cart"), ("[fd00::1]:80", "fd00::1")])
    func host(target: String, expected: String) throws {
        #expect(try self.resolve(HostResolver(), target) == expected)
    }

    @Test(
        "authority wants a port",
        arguments: [("cart:80", "cart"), ("cart", "400 invalid authority, write service:port")])
    func authority(target: String, expected: String) throws {
        #expect(try self.resolve(AuthorityResolver(), target) == expected)
    }

    @Test(
        "ip takes the address of an instance, and names as host does",
        arguments: [
            ("10.0.0.1:80", "=cart"), ("10.0.0.1:9999", "=cart"), ("10.0.0.1", "=cart"), ("10.0.0.2:81", "=a"),
            ("10.0.0.2:82", "=b"), ("10.0.0.2:9", "400 no service found for ip [10.0.0.2]"),
            ("10.0.0.3", "400 no service found for ip [10.0.0.3]"), ("[FD00::1]:83", "=b"), ("[fd00::1]:1", "=b"),
            ("[fd00::2]", "400 no service found for ip [fd00::2]"), ("cart", "cart"),
            ("10.0.0.1.nip.io", "10.0.0.1.nip.io"),
        ])
    func address(target: String, expected: String) throws {
        #expect(try self.resolve(AddressResolver(), target) == expected)
    }

    @Test(
        "one's own resolver, as the documentation has it",
        arguments: [("cart.shop.internal:80", "cart"), ("cart", "cart"), (".x", "400 the host has no first label")])
    func firstLabel(target: String, expected: String) throws {
        #expect(try self.resolve(FirstLabelResolver(), target) == expected)
    }

    @Test("one's own resolver finds services in a chain")
    func chain() throws {
        let directory = try TestExchange.directory(["cart": ["rest://10.0.0.1:80"]])
        let stage = DestinationStage(own: [], resolver: FirstLabelResolver(), source: "web")
        try TestExchange.with(["GET http://cart.internal/ HTTP/1.1", "Host: x"], directory: directory) { exchange in
            guard case .proceed = stage.onRequest(&exchange) else { return #expect(Bool(false), "not resolved") }
            #expect(exchange.service?.name == "cart")
        }
    }

    @Test("configuration knows the resolvers that there are, and no others")
    func names() {
        #expect(DestinationResolvers.all.map { $0.name }.sorted() == ResolverConfig.known.sorted())
        for name in ResolverConfig.known {
            #expect(type(of: DestinationResolvers.make(name)).name == name)
        }
    }
}

@Suite struct HostAddressTests {
    @Test(
        "this machine and its surroundings, however they are written",
        arguments: [
            "127.0.0.1", "127.1", "127.0.1", "127.255.255.254", "2130706433", "0x7f000001", "0x7f.1", "017700000001",
            "0177.0.0.1", "0", "0.0.0.0", "169.254.169.254", "169.254.43518", "0xa9fea9fe", "localhost", "LocalHost",
            "localhost.", "a.localhost", "127.0.0.1.", "::", "::1", "0:0:0:0:0:0:0:1", "fe80::1", "febf::1",
            "::ffff:127.0.0.1", "::ffff:7f00:1", "::127.0.0.1", "::ffff:a9fe:a9fe", "64:ff9b::7f00:1",
        ])
    func refused(host: String) { #expect(self.isRefused(host)) }

    @Test(
        "others are not",
        arguments: [
            "10.0.0.1", "128.0.0.1", "126.255.255.255", "169.253.0.1", "cart", "localhostess", "my-localhost",
            "127.example",
            "127.0.0.0.1", "256.1", "08", "1.2.3.4.5", "fd00::1", "fec0::1", "2001:db8::1", "::ffff:10.0.0.1", "",
            ".",
            "4294967296", "0x1ffffffff", "99999999999999999999", "::ffff:", "a:b", "1:2:3:4:5:6:7:8:9",
        ])
    func notRefused(host: String) { #expect(!self.isRefused(host)) }

    @Test(
        "tells addresses from names",
        arguments: [
            ("10.0.0.1", true), ("167772161", true), ("fd00::1", true), ("cart", false), ("10.0.0.1.nip.io", false),
            ("", false),
        ])
    func isAddress(host: String, expected: Bool) {
        let bytes = Array(host.utf8)
        let isAddress = HostAddress.isAddress(bytes.rawSpan)
        #expect(isAddress == expected)
    }

    private func isRefused(_ host: String) -> Bool { HostAddress.isRefused(Array(host.utf8).rawSpan) }
}

@Suite struct LoopGuardTests {
    private func hops(_ loops: LoopGuard, _ fields: [String]) throws -> String? {
        try TestExchange.with(["GET http://cart/ HTTP/1.1", "Host: cart"] + fields) { exchange in
            loops.mark(&exchange.requestHeaders) ? exchange.requestHeaders.string(of: .meshHop) : nil
        }
    }

    @Test("adds its token, and knows it again")
    func token() throws {
        let loops = LoopGuard(token: "0123")
        #expect(try self.hops(loops, []) == "0123")
        #expect(try self.hops(loops, ["X-Mesher-Hop: 4567"]) == "4567, 0123")
        #expect(try self.hops(loops, ["x-mesher-hop: 4567, 0123"]) == nil)
        #expect(try self.hops(loops, ["x-mesher-hop: 0123"]) == nil)
        #expect(try self.hops(loops, ["x-mesher-hop: \((0..<15).map(String.init).joined(separator: ","))"]) != nil)
        #expect(try self.hops(loops, ["x-mesher-hop: \((0..<16).map(String.init).joined(separator: ","))"]) == nil)
        #expect(HopToken.own.utf8.count == 16)
    }
}
