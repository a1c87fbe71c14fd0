// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import Testing

@Suite struct ListenerConfigTests {
    /// Reads with a machine whose address is 10.9.9.9.
    private func read(_ values: [String: String]) -> (ListenerConfig, [String]) {
        var source = ConfigSource(.files)
        for (key, value) in values { source.add(key, .text(value, ConfigLocation("f"))) }
        var reader = ConfigReader(ConfigStore([source]), machineAddress: { "10.9.9.9" })
        let config = ListenerConfig(&reader)
        return (config, reader.problems.map(\.description))
    }

    private static let http = "cse.protocols.http.listenAddress"
    private static let admin = "cse.protocols.rest-admin.listenAddress"

    @Test(
        "one row for each kind of address",
        arguments: [
            (nil, "127.0.0.1:30101", nil), ("127.0.0.1:81", "127.0.0.1:81", nil),
            ("10.1.2.3:81", "127.0.0.1:81", "10.1.2.3:81"), ("127.0.0.2:81", "127.0.0.1:81", "127.0.0.2:81"),
            ("[fd00::1]:81", "127.0.0.1:81", "[fd00::1]:81"),
        ] as [(String?, String, String?)])
    func sidecar(address: String?, outgoing: String, incoming: String?) {
        let (config, problems) = self.read(address.map { [Self.http: $0] } ?? [:])
        #expect(problems.isEmpty)
        #expect(config.outgoing.description == outgoing && config.incoming?.description == incoming)
    }

    @Test(
        "what listens at one address of the pod listens at all; outgoing requests are taken on both loopbacks",
        arguments: [
            ("10.1.2.3:81", "10.1.2.3,fd00::1", ["[fd00::1]:81"]),
            ("[fd00::1]:81", " fd00::1, 10.1.2.3 ", ["10.1.2.3:81"]), ("10.1.2.3:81", "10.1.2.3", []),
            ("10.1.2.4:81", "10.1.2.3,fd00::1", []), ("10.1.2.3:0", "10.1.2.3,fd00::1", []),
        ] as [(String, String, [String])])
    func instanceAddresses(address: String, all: String, others: [String]) throws {
        let (config, problems) = self.read([
            Self.http: address, Self.admin: "127.0.0.1:82", "mesher.instanceIPs": all,
        ])
        #expect(problems.isEmpty)
        #expect(config.otherPlaces(of: try #require(config.incoming)).map(\.description) == others)
        #expect(config.otherPlaces(of: try #require(config.admin)).isEmpty)
        let loopback = config.outgoing.port == 0 ? [] : ["[::1]:\(config.outgoing.port)"]
        #expect(config.otherPlaces(of: config.outgoing).map(\.description) == loopback)
        // What others are told is one address.
        #expect(config.advertised.map(\.description) == ["rest://\(try #require(config.incoming))"])
    }

    @Test("a place that something else is told to take is left to it")
    func takenPlaces() {
        let (config, problems) = self.read([Self.http: "[::1]:81"])
        #expect(problems.isEmpty && config.otherPlaces(of: config.outgoing).isEmpty)
    }

    @Test("per-host listens where it is told alone")
    func perHostPlaces() {
        let (config, _) = self.read([
            Self.http: "10.1.2.3:81", "mesher.mode": "per-host", "mesher.instanceIPs": "10.1.2.3,fd00::1",
        ])
        #expect(config.otherPlaces(of: config.outgoing).isEmpty)
    }

    @Test("a sidecar listens on no wildcard", arguments: ["0.0.0.0:81", "[::]:81"])
    func wildcard(address: String) {
        let (_, problems) = self.read([Self.http: address])
        #expect(problems.count == 1 && problems[0].contains("in sidecar mode, forbidden to listen on"))
    }

    @Test("per-host listens where it is told, and takes nothing incoming", arguments: ["0.0.0.0:81", "10.1.2.3:81"])
    func perHost(address: String) {
        let (config, problems) = self.read([Self.http: address, "mesher.mode": "per-host"])
        #expect(problems.isEmpty && config.outgoing.description == address && config.incoming == nil)
        #expect(config.advertised.isEmpty)
    }

    @Test(
        "tells others what they can use",
        arguments: [
            ([:], []), ([Self.http: "127.0.0.1:81", Self.admin: "127.0.0.1:82"], []),
            ([Self.http: "10.1.2.3:81"], ["rest://10.1.2.3:81"]),
            ([Self.http: "127.0.0.2:81"], ["rest://127.0.0.2:81"]),
            (
                [Self.http: "10.1.2.3:81", "cse.protocols.http.advertiseAddress": "192.0.2.1:8080"],
                ["rest://192.0.2.1:8080"]
            ),
            (
                [Self.http: "127.0.0.1:81", "cse.protocols.http.advertiseAddress": "0.0.0.0:8080"],
                ["rest://10.9.9.9:8080"]
            ),
            ([Self.admin: "0.0.0.0:82"], ["rest-admin://10.9.9.9:82"]),
            ([Self.admin: "0.0.0.0:82", "admin.enable": "false"], []),
            (
                [Self.http: "127.0.0.1:81", Self.admin: "127.0.0.1:82", "mesher.listenIP": "auto"],
                ["rest://10.9.9.9:81", "rest-admin://10.9.9.9:82"]
            ),
            ([Self.http: "127.0.0.1:81", "mesher.listenIP": "10.1.1.1"], ["rest://10.1.1.1:81"]),
        ] as [([String: String], [String])])
    func advertised(values: [String: String], expected: [String]) {
        let (config, problems) = self.read(values)
        #expect(problems.isEmpty && config.advertised.map(\.description) == expected)
    }

    @Test(
        "refuses",
        arguments: [
            ([Self.http: "example.com:80"], "IP format error, input is [example.com:80]"),
            (["cse.protocols.http.advertiseAddress": "example.com:80"], "IP format error, input is [example.com:80]"),
            (["admin.enable": "true"], "the admin API is enabled but has no address"),
            ([Self.http: "127.0.0.1:81", Self.admin: "127.0.0.1:81"], "127.0.0.1:81 is taken by the listener of HTTP"),
            ([Self.http: "10.1.2.3:81", Self.admin: "0.0.0.0:81"], "0.0.0.0:81 is taken by the listener of HTTP"),
            (["mesher.listenIP": "nowhere"], "\"nowhere\" is no IP address"),
            (["mesher.instanceIPs": "10.1.2.3;fd00::1"], "\"10.1.2.3;fd00::1\" is no IP address"),
            (["mesher.mode": "edge"], "the mode edge is not active yet"), (["mesher.mode": "x"], "\"x\" is no mode"),
        ])
    func refuses(values: [String: String], text: String) {
        let (_, problems) = self.read(values)
        #expect(problems.count == 1 && problems[0].contains(text), "\(problems)")
    }
}

@Suite struct EnvironmentVariableTests {
    /// What a key is when a file says `file` of it, and the environment what is given.
    private func read(_ key: String, file: String? = nil, _ environment: [String: String]) -> String? {
        let loader = ConfigLoader(
            arguments: .init(), environment: environment.merging(["CHASSIS_CONF_DIR": "/nonexistent"]) { $1 },
            executableDirectory: "/nonexistent")
        return loader.examine().store.entry(key)?.value.text
    }

    @Test(
        "sets its keys",
        arguments: [
            ("SERVICE_PORTS", "rest:1", "mesher.servicePorts", "rest:1"),
            ("SPECIFIC_ADDR", " 10.0.0.1:81 ", "mesher.servicePorts", "rest:81"),
            ("CSE_REGISTRY_ADDR", "http://r", "cse.service.registry.address", "http://r"),
            ("PAAS_CSE_ENDPOINT", "http://r", "cse.config.client.serverUri", "http://r"),
            ("CSE_SERVICE_CENTER", "http://r", "cse.service.registry.address", "http://r"),
            ("OUTGOING_HANDLER", "router,transport", "cse.handler.chain.Consumer.outgoing", "router,transport"),
            ("REFRESH_INTERVAL", "5s", "cse.service.registry.refreshInterval", "5s"),
            ("MD", "a=1|b = 2", "service_description.instance_properties.b", " 2"),
            ("TLS_ENABLE", "true", "ssl.mesher.Provider.certFile", "/etc/ssl/meshercert/kubecfg.crt"),
            ("INSTANCE_IPS", "10.1.2.3,fd00::1", "mesher.instanceIPs", "10.1.2.3,fd00::1"),
            ("MESHER_ZONE", "z1", "region.availableZone", "z1"),
            ("KUBERNETES_SERVICE_HOST", "10.96.0.1", "mesher.timeouts.notice", "5s"),
            ("KUBERNETES_SERVICE_HOST", "10.96.0.1", "mesher.timeouts.ready", "10s"),
            ("KUBERNETES_SERVICE_HOST", "10.96.0.1", "mesher.timeouts.drain", "25s"),
            ("SERVICE_NAME", "web", "service_description.name", "web"), ("APP_ID", "shop", "APPLICATION_ID", "shop"),
            ("CAS_INSTANCE_VERSION", "2", "service_description.version", "2"),
            ("cse_protocols_http_listenAddress", "1.1.1.1:1", "cse.protocols.http.listenAddress", "1.1.1.1:1"),
            ("servicecomb.registry.address", "x", "cse.service.registry.address", "x"),
        ])
    func sets(name: String, value: String, key: String, expected: String) {
        #expect(self.read(key, [name: value]) == expected)
    }

    @Test("of several for one key the more specific one counts")
    func precedence() {
        let registry = "cse.service.registry.address"
        var environment = ["CSE_SERVICE_CENTER": "1", "CSE_REGISTRY_ADDR": "2"]
        #expect(self.read(registry, environment) == "2")
        environment["PAAS_CSE_ENDPOINT"] = "3"
        #expect(self.read(registry, environment) == "3")
        environment["PAAS_CSE_SC_ENDPOINT"] = "4"
        #expect(self.read(registry, environment) == "4")
        environment["cse_service_registry_address"] = "5"
        #expect(self.read(registry, environment) == "5")
    }
}

@Suite struct IPRangeTests {
    @Test(
        "contains the addresses of its prefix",
        arguments: [
            ("10.0.0.0/8", "10.255.0.1", true), ("10.0.0.0/8", "11.0.0.1", false), ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.4", false), ("0.0.0.0/0", "1.2.3.4", true), ("10.0.0.0/9", "10.127.0.0", true),
            ("10.0.0.0/9", "10.128.0.0", false), ("fd00::/8", "fd12::1", true), ("fd00::/8", "fe80::1", false),
            ("10.0.0.0/8", "::ffff:10.1.1.1", true), ("0.0.0.0/0", "::1", false),
        ])
    func contains(range: String, address: String, expected: Bool) throws {
        let range = try #require(IPRange(range))
        #expect(range.contains(try SocketAddress(ipAddress: address, port: 1)) == expected)
    }

    @Test(
        "refuses what is none",
        arguments: ["", "10.0.0", "10.0.0.0/33", "10.0.0.0/x", "fd00::/129", "a/8", "10.0.0.0/-1"])
    func refuses(text: String) { #expect(IPRange(text) == nil) }
}
