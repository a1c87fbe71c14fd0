// SPDX-License-Identifier: Apache-2.0

import Common
import Testing

@Suite struct NameTableTests {
    private func find(_ name: String, in table: NameTable<Int>) -> Int? { table[name] }

    @Test("finds the exact name first, then one that differs in letter case only, if it is the only one")
    func letterCase() {
        let table = NameTable(["RESTServer": 1, "cart": 2, "Cart": 3, "orders.bench": 4])
        #expect(self.find("RESTServer", in: table) == 1)
        #expect(self.find("restserver", in: table) == 1)
        #expect(self.find("cart", in: table) == 2)
        #expect(self.find("Cart", in: table) == 3)
        #expect(self.find("CART", in: table) == nil)
        #expect(self.find("Orders.Bench", in: table) == 4)
        #expect(self.find("orders", in: table) == nil)
        #expect(self.find("", in: table) == nil)
    }

    @Test("three names that differ in letter case are no more unique than two")
    func threeSimilar() { #expect(NameTable(["aa": 1, "Aa": 2, "aA": 3])["AA"] == nil) }

    @Test("holds many names")
    func many() {
        let names = (0..<1000).map { "service-\($0)" }
        let table = NameTable(Dictionary(uniqueKeysWithValues: names.enumerated().map { ($1, $0) }))
        for (index, name) in names.enumerated() { #expect(table[name] == index) }
        #expect(table.values.count == 1000)
    }

    @Test("an empty table finds nothing")
    func empty() { #expect(NameTable<Int>([:])["x"] == nil) }
}

@Suite struct VersionTests {
    @Test(
        "compares number by number",
        arguments: [
            ("1.0.0", "1.0.1", true), ("1.9", "1.10", true), ("2", "1.9.9", false), ("1.0", "1.0.0", false),
            ("1.0-rc", "1.0", true), ("", "0.0.1", true),
        ])
    func order(left: String, right: String, isLess: Bool) { #expect((Version(left) < Version(right)) == isLess) }

    @Test("missing numbers count as zero")
    func equal() { #expect(Version("1") == Version("1.0.0")) }
}

@Suite struct EndpointTests {
    @Test("reads what registries publish")
    func reads() throws {
        let endpoint = try Endpoint("rest://10.0.0.5:8080?sslEnabled=true")
        #expect(
            endpoint.protocolName == "rest" && endpoint.host == "10.0.0.5" && endpoint.port == 8080 && endpoint.usesTLS)
        #expect(try Endpoint("grpc://[::1]:40101").isLoopback)
        #expect(try Endpoint("rest://127.0.0.1:1/").description == "rest://127.0.0.1:1")
        #expect(Endpoint(loopbackPort: 80, protocolName: "rest").description == "rest://127.0.0.1:80")
    }

    @Test(
        "says what an endpoint lacks",
        arguments: [
            ("10.0.0.5:8080", Endpoint.Mistake.scheme), ("://1.1.1.1:1", .scheme), ("rest://10.0.0.5", .port),
            ("rest://10.0.0.5:0", .port), ("rest://10.0.0.5:65536", .port), ("rest://cart:80", .host),
            ("rest://:80", .host),
            ("rest://1.2.3:80", .host),
        ])
    func mistakes(text: String, mistake: Endpoint.Mistake) {
        #expect(throws: mistake) { try Endpoint(text) }
    }
}

@Suite struct ServiceDirectoryTests {
    private func instance(
        _ builder: inout ServiceDirectoryBuilder, _ endpoint: String, version: String = "", app: String = "",
        status: InstanceStatus = .up
    ) throws -> Instance {
        Instance(
            id: endpoint, version: version, app: app, status: status, properties: [:],
            endpoints: [try builder.endpoint(endpoint)])
    }

    private func ports(_ directory: ServiceDirectory) -> [Int]? {
        directory["cart"]?.defaultEndpoints.endpoints.map(\.port)
    }

    @Test("the default endpoints are those of the newest version of the own application that may take traffic")
    func defaults() throws {
        var builder = ServiceDirectoryBuilder(upon: .empty, ownApp: "shop")
        let instances = [
            try self.instance(&builder, "rest://10.0.0.1:1", version: "1.0", app: "shop"),
            try self.instance(&builder, "rest://10.0.0.1:2", version: "1.10", app: "shop"),
            try self.instance(&builder, "rest://10.0.0.1:3", version: "1.10", app: "shop", status: .down),
            try self.instance(&builder, "rest://10.0.0.1:4", version: "1.10", app: "shop", status: .testing),
            try self.instance(&builder, "rest://10.0.0.1:5", version: "9", app: "other"),
            try self.instance(&builder, "grpc://10.0.0.1:6", version: "1.10", app: "shop"),
        ]
        builder.add("cart", instances)
        let directory = builder.build()
        #expect(self.ports(directory) == [2, 4])
        #expect(directory["cart"]?.defaultEndpoints.tags.label == "version:1.10|app:shop")
    }

    @Test("registries without versions and applications are not filtered")
    func withoutVersions() throws {
        var builder = ServiceDirectoryBuilder(upon: .empty, ownApp: "shop")
        builder.add(
            "cart",
            [try self.instance(&builder, "rest://10.0.0.1:1"), try self.instance(&builder, "rest://10.0.0.1:2")])
        #expect(self.ports(builder.build()) == [1, 2])
    }

    @Test("what has not changed keeps its identity")
    func identity() throws {
        var builder = ServiceDirectoryBuilder(upon: .empty, ownApp: "shop")
        builder.add("cart", [try self.instance(&builder, "rest://10.0.0.1:1")])
        builder.add("other", [try self.instance(&builder, "rest://10.0.0.1:9")])
        let first = builder.build()
        var second = ServiceDirectoryBuilder(upon: first, ownApp: "shop")
        second.add(
            "cart", [try self.instance(&second, "rest://10.0.0.1:1"), try self.instance(&second, "rest://10.0.0.1:2")])
        second.add("other", [try self.instance(&second, "rest://10.0.0.1:9")])
        let next = second.build()
        #expect(next["other"] === first["other"])
        #expect(next["cart"] !== first["cart"])
        #expect(next["cart"]?.instances.first?.endpoints.first === first["cart"]?.instances.first?.endpoints.first)
        #expect(!ServiceDirectory.empty.isSynced && next.isSynced)
    }
}
