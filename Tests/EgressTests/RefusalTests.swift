// SPDX-License-Identifier: Apache-2.0

import Common
import Egress
import NIOCore
import Proxy
import TestSupport
import Testing

/// Promises T4 and T5: no way to places that nobody published, and none back to the sidecar itself.
@Suite struct RefusalTests {
    private func listeners(_ values: [String: String], machine: [String] = []) throws -> OwnListeners {
        var source = ConfigSource(.memory)
        for (key, value) in values { source.add(key, .text(value, ConfigLocation("test"))) }
        var reader = ConfigReader(ConfigStore([source]))
        return OwnListeners(
            ListenerConfig(&reader),
            machine: try machine.map { try #require(IPAddress(try SocketAddress(ipAddress: $0, port: 0))) })
    }

    private func ask(
        _ target: String, services: [String: [String]], _ values: [String: String] = [:], machine: [String] = [],
        fields: [String] = [], token: HopToken = HopToken()
    ) throws -> TestExchange.Result {
        let config = try TestSidecar.config([:])
        let stages = EgressStages(
            config, own: try self.listeners(values, machine: machine), resolver: HostResolver(), token: token,
            marks: Marks(config.rules))
        return try TestExchange(try TestExchange.directory(services)).run(
            stages.inOrder, ["GET \(target) HTTP/1.1", "Host: a"] + fields)
    }

    @Test(
        "addresses of this machine, its link and its cloud are refused in every spelling",
        arguments: [
            "127.0.0.1", "127.1", "0x7f.1", "0x7f000001", "2130706433", "017700000001", "0", "0.0.0.0", "127.0.0.1.",
            "127.255.255.254", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]",
            "[::ffff:10.0.0.5]", "[64:ff9b::7f00:1]", "169.254.169.254", "169.254.1.1", "0xa9.0xfe.43518", "[fe80::1]",
            "[febf::1]", "[fd00:ec2::254]", "[fd20:ce::254]", "100.100.100.200", "168.63.129.16", "192.0.0.192",
            "localhost",
            "LocalHost.", "a.localhost",
        ])
    func refused(host: String) throws {
        for port in ["", ":80", ":6443"] {
            let error = try #require(try self.ask("http://\(host)\(port)/", services: ["cart": []]).error)
            #expect(error.reason == .destinationRefused && error.status == 403)
        }
    }

    @Test(
        "other addresses and names are unknown, not refused",
        arguments: [
            "8.8.8.8", "10.0.0.5", "[2001:db8::1]", "128.0.0.1", "169.253.1.1", "[fec0::1]", "1.2.3.4.5", "999.1.1.1",
            "0x7f.example", "localhost.example", "mylocalhost", "127.0.0.1.nip.io",
        ])
    func unknown(host: String) throws {
        #expect(try self.ask("http://\(host)/", services: ["cart": []]).error?.reason == .noEndpoint)
    }

    @Test("a service of that very name may be called, also on loopback")
    func published() throws {
        let services = ["localhost": ["rest://127.0.0.1:7000"], "127.0.0.1": ["rest://127.0.0.1:7001"]]
        #expect(try self.ask("http://localhost:1/", services: services).port == 7000)
        #expect(try self.ask("http://127.0.0.1/", services: services).port == 7001)
    }

    @Test(
        "the sidecar's own listeners have no names that lead to them",
        arguments: [
            ("127.0.0.1:30101", 400), ("localhost:30101", 400), ("127.1:30101", 400), ("0:30101", 400),
            ("[::ffff:127.0.0.1]:30101", 400), ("127.0.0.1:30102", 403), ("localhost:30102", 403),
            ("10.1.2.3:30101", 403), ("[::1]:30101", 400), ("[fd00::3]:30101", 403),
        ])
    func own(authority: String, status: Int) throws {
        let values = [
            "cse.protocols.http.listenAddress": "10.1.2.3:30101", "mesher.instanceIPs": "10.1.2.3,fd00::3",
            "cse.protocols.rest-admin.listenAddress": "127.0.0.1:30102",
        ]
        let result = try self.ask("http://\(authority)/", services: ["localhost": ["rest://10.0.0.5:1"]], values)
        #expect(result.error?.status == status)
        if status == 400 { #expect(result.error?.body == "uri format must be: http://serviceName/api") }
    }

    @Test(
        "per-host: every address that the one listener has is its own",
        arguments: [
            ("0.0.0.0:30101", "127.0.0.1:30101", true), ("0.0.0.0:30101", "192.168.1.7:30101", true),
            ("0.0.0.0:30101", "localhost:30101", true), ("0.0.0.0:30101", "192.168.1.8:30101", false),
            ("192.168.1.7:30101", "192.168.1.7:30101", true), ("192.168.1.7:30101", "192.168.1.7:30102", false),
        ])
    func perHost(listen: String, authority: String, isOwn: Bool) throws {
        let values = ["cse.protocols.http.listenAddress": listen, "mesher.mode": "per-host"]
        let result = try self.ask("http://\(authority)/", services: ["cart": []], values, machine: ["192.168.1.7"])
        #expect((result.error?.reason == .destinationUnresolved) == isOwn)
    }

    @Test(
        "an instance that is the sidecar itself is never called, whatever the registry says",
        arguments: [
            ("127.0.0.1:30101", true), ("0.0.0.0:30101", true), ("[::ffff:127.0.0.1]:30101", true),
            ("[64:ff9b::7f00:1]:30101", true), ("[64:ff9b::a00:5]:30101", false),
            ("[::1]:30101", true), ("127.0.0.1:30102", true), ("127.0.0.1:30103", false), ("10.0.0.5:30101", false),
            // Its own service, as others call it.
            ("10.1.2.3:30101", false),
        ])
    func ownEndpoint(endpoint: String, isRefused: Bool) throws {
        let values = [
            "cse.protocols.http.listenAddress": "10.1.2.3:30101",
            "cse.protocols.rest-admin.listenAddress": "127.0.0.1:30102",
        ]
        let result = try self.ask("http://cart/", services: ["cart": ["rest://\(endpoint)"]], values)
        #expect((result.error?.reason == .destinationRefused) == isRefused)
        #expect((result.port == nil) == isRefused)
    }

    @Test("a request that has left through here before is a loop; the marks of others are passed on")
    func loops() throws {
        let (token, services) = (HopToken(), ["cart": ["rest://10.0.0.5:1"]])
        func ask(_ fields: [String]) throws -> TestExchange.Result {
            try self.ask("http://cart/", services: services, fields: fields, token: token)
        }
        #expect(try ask([]).fields["x-mesher-hop"] == token.text)
        let passed = try ask(["x-mesher-hop: \(HopToken().text)"])
        #expect(passed.error == nil && passed.fields["x-mesher-hop"] == token.text)
        #expect(try ask(["X-Mesher-Hop: a, \(token.text)"]).error?.status == 508)
        #expect(try ask(["x-mesher-hop: a", "x-mesher-hop: \(token.text) , b"]).error?.reason == .loop)
        let sixteen = Array(repeating: "x", count: 16).joined(separator: ",")
        #expect(try ask(["x-mesher-hop: \(sixteen)"]).error == nil)
        #expect(try ask(["x-mesher-hop: \(sixteen)", "x-mesher-hop: y"]).error?.reason == .loop)
        #expect(HopToken().text != token.text && token.text.count == 16)
    }
}
