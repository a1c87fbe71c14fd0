// SPDX-License-Identifier: Apache-2.0

import Common
import Testing

@Suite struct PlaceholderTests {
    private let environment = ["HOST": "10.1.1.1", "EMPTY": "", "MIXED": "aBc", "A1": "x"]

    @Test(
        "replaces what is a placeholder, and leaves the rest",
        arguments: [
            ("plain", "plain"), ("${HOST}", "10.1.1.1"), ("http://${HOST||h}:${PORT||30100}", "http://10.1.1.1:30100"),
            ("${NONE}", ""), ("${EMPTY||d}", "d"), ("${NONE||}", ""), ("${MIXED^^||d}", "ABC"),
            ("${MIXED,,||d}", "abc"),
            ("${NONE^^||d}", "D"), ("${A||d}", "${A||d}"), ("${1A||d}", "${1A||d}"), ("$HOST ${", "$HOST ${"),
            (" ${HOST} ", "10.1.1.1"), ("${A1}", "x"), ("${H-T}", "${H-T}"), ("a${HOST}b$", "a10.1.1.1b$"),
        ])
    func expand(text: String, expected: String) {
        #expect(Placeholders.expand(text, environment: self.environment) == expected)
    }
}

@Suite struct ConfigTreeTests {
    @Test("flattens maps to dotted keys, keeps lists whole and drops nulls")
    func flattens() throws {
        let tree = try ConfigTree(
            yaml: "a: {b: 1, c: [x, y], d: ~, e: null, f: 'null'}\ng:\n  h: true\n", source: "f.yaml")
        let leaves = tree.flattened()
        #expect(leaves.map(\.key) == ["a.b", "a.c", "a.f", "g.h"])
        #expect(leaves.first?.value.text == "1")
        #expect(leaves.last?.value.location == ConfigLocation("f.yaml", line: 3, column: 6))
    }

    @Test("aliases and merged maps are what they stand for")
    func merges() throws {
        let tree = try ConfigTree(
            yaml: "base: &b {x: 1, y: 2}\na: {<<: *b, y: 3}\nc: {<<: [*b, {z: 4}]}\nd: *b\n", source: "f")
        let leaves = Dictionary(uniqueKeysWithValues: tree.flattened().map { ($0.key, $0.value.text) })
        #expect(leaves["a.x"] == "1" && leaves["a.y"] == "3" && leaves["c.z"] == "4" && leaves["d.y"] == "2")
    }

    @Test("references to references do not use up the memory")
    func references() {
        var yaml = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        for level in 1...9 {
            let list = Array(repeating: "*a\(level - 1)", count: 10).joined(separator: ", ")
            yaml += "a\(level): &a\(level) [\(list)]\n"
        }
        #expect { try ConfigTree(yaml: yaml, source: "f") } throws: { error in
            (error as? ConfigProblem)?.problem.contains("more than 1000000 values") ?? false
        }
        let deep = String(repeating: "[", count: 100_000)
        #expect(throws: ConfigProblem.self) { try ConfigTree(yaml: deep, source: "f") }
    }

    @Test("an empty file has no keys")
    func empty() throws { #expect(try ConfigTree(yaml: "# nothing\n", source: "f").flattened().isEmpty) }

    @Test("says where YAML is broken")
    func broken() {
        #expect { try ConfigTree(yaml: "a: 1\n b: 2\n", source: "f.yaml") } throws: { error in
            (error as? ConfigProblem)?.description.hasPrefix("f.yaml:2:") ?? false
        }
        #expect(throws: ConfigProblem.self) { try ConfigTree(yaml: "a: 1\na: 2\n", source: "f.yaml") }
    }
}

@Suite struct ConfigStoreTests {
    private func source(_ rank: ConfigSource.Rank, _ values: [(String, String)]) -> ConfigSource {
        var source = ConfigSource(rank)
        for (key, value) in values { source.add(key, .text(value, ConfigLocation("\(rank)"))) }
        return source
    }

    @Test(
        "both spellings of a key are one",
        arguments: [
            ("servicecomb.registry.address", "cse.service.registry.address"),
            ("cse.service.Registry.address", "cse.service.registry.address"),
            ("servicecomb.REGISTRY.address", "cse.service.registry.address"),
            ("ssl.Registry.Consumer.verifyPeer", "ssl.registry.Consumer.verifyPeer"),
            // A service may have this name.
            (
                "cse.isolation.Consumer.Registry.timeoutInMilliseconds",
                "cse.isolation.Consumer.Registry.timeoutInMilliseconds"
            ),
            ("ssl.Registry.rest.Consumer.verifyPeer", "ssl.Registry.rest.Consumer.verifyPeer"),
            ("routeRule.Registry", "routeRule.Registry"),
            ("servicecomb.protocols.http.listenAddress", "cse.protocols.http.listenAddress"),
            ("servicecomb.service.name", "service_description.name"), ("servicecomb.service.app", "APPLICATION_ID"),
            ("servicecomb.service.instanceProperties.a", "service_description.instance_properties.a"),
            ("servicecomb.router.infra", "router.infra"), ("servicecomb.apm.tracing.tracer", "tracing.tracer"),
            ("mesher.workers", "mesher.workers"), ("servicecombx.a", "servicecombx.a"),
        ])
    func aliases(written: String, canonical: String) { #expect(ConfigAlias.canonical(written).key == canonical) }

    @Test("a higher source wins, and inside one the older spelling")
    func precedence() {
        let files = self.source(
            .files, [("servicecomb.a", "new"), ("cse.a", "old"), ("cse.b", "file"), ("cse.b", "later")])
        let environment = self.source(.environment, [("servicecomb.b", "environment")])
        let store = ConfigStore([files, environment])
        #expect(store.entry("cse.a")?.value.text == "old")
        #expect(store.entry("servicecomb.a")?.value.text == "old")
        #expect(store.entry("cse.b")?.value.text == "environment")
        #expect(store.entry("cse.c") == nil)
        #expect(store.entries(below: "cse").map(\.suffix) == ["a", "b"])
    }
}

@Suite struct ConfigKindTests {
    @Test(
        "reads durations in Go's notation",
        arguments: [
            ("500ms", Duration.milliseconds(500)), ("1h30m", .seconds(5400)), ("1.5s", .milliseconds(1500)),
            ("0", .zero),
            ("10", nil), ("s", nil), ("", nil), ("1x", nil), ("1s2", nil), ("-1s", nil), ("999999999999h", nil),
        ] as [(String, Duration?)])
    func durations(text: String, expected: Duration?) { #expect(DurationText.read(text) == expected) }

    @Test("writes durations as they would be read", arguments: ["0s", "500ms", "1h30m", "30s", "24h", "1500ms"])
    func durationTexts(text: String) throws {
        let value = try #require(DurationText.read(text))
        #expect(DurationText.read(DurationText.write(value)) == value)
        #expect(DurationText.write(value) == text)
    }

    @Test("a value that is no value names the key, the place and the remedy")
    func problems() {
        var source = ConfigSource(.files)
        source.add("mesher.timeouts.connect", .text("soon", ConfigLocation("mesher.yaml", line: 3, column: 5)))
        source.add("mesher.limits.buffer", .text("1KiB", ConfigLocation("mesher.yaml", line: 4, column: 5)))
        source.add("mesher.limits.connections", .text("many", ConfigLocation("mesher.yaml", line: 5, column: 5)))
        source.add("mesher.timeouts.tunnel", .list([], ConfigLocation("mesher.yaml", line: 6, column: 5)))
        var reader = ConfigReader(ConfigStore([source]))
        let settings = ProxySettings(&reader)
        #expect(settings == ProxySettings())
        #expect(
            reader.problems.map(\.description) == [
                "mesher.yaml:4:5: mesher.limits.buffer: \"1KiB\" is not a size in the range; "
                    + "write 4KiB to 16MiB, such as 64KiB",
                "mesher.yaml:5:5: mesher.limits.connections: \"many\" is not a number in the range; write 1 to 1000000",
                "mesher.yaml:3:5: mesher.timeouts.connect: \"soon\" is not a duration; write one such as 500ms, 30s or 1h30m",
                "mesher.yaml:6:5: mesher.timeouts.tunnel: a list stands where one value belongs; write one duration, 1ms to 24h",
            ])
    }
}

@Suite struct ServicePortsTests {
    @Test("reads the list, blanks and the names that users write")
    func reads() throws {
        let ports = try ServicePorts("rest-admin:8080, grps : 9000,http:3000,")
        #expect(ports["rest"] == 3000 && ports["grpc"] == 9000 && ports["rest-admin"] == 8080 && ports["dubbo"] == nil)
        #expect(try ServicePorts("").ports.isEmpty)
        #expect(try ServicePorts("REST:8080,gRPC:9000,HTTP-a:1").text == "rest:8080,grpc:9000,http-a:1")
    }

    @Test(
        "refuses an item that is no name:port",
        arguments: ["rest", "rest:", "rest:x", "rest:0", "rest:65536", "a:b:1", ":1", "re st:1", "rest:1,http:2"])
    func refuses(text: String) {
        #expect { try ServicePorts(text) } throws: { ($0 as? ConfigMistake)?.problem.contains("is invalid") ?? false }
    }
}

@Suite struct ListenAddressTests {
    @Test("reads IPv4 and IPv6 addresses")
    func reads() throws {
        #expect(try ListenAddress("127.0.0.1:30101").isLoopback)
        #expect(try ListenAddress("0.0.0.0:1").isWildcard)
        let address = try ListenAddress("[fe80::1]:80")
        #expect(address.host == "fe80::1" && address.description == "[fe80::1]:80")
        // As a placeholder of a pod's address leaves it.
        let bare = try ListenAddress("fd00:10:244::5:30101")
        #expect(bare.host == "fd00:10:244::5" && bare.description == "[fd00:10:244::5]:30101")
        #expect(try ListenAddress("::1:80").isLoopback)
    }

    @Test(
        "refuses what is none",
        arguments: [
            "127.0.0.0.1:6060", "localhost:80", "127.0.0.1", "1.1.1.1:x", "fd00::1", "[1.1.1.1]:80", "::1:", ":80",
        ])
    func refuses(text: String) { #expect(throws: ConfigMistake.self) { try ListenAddress(text) } }
}

@Suite struct HealthCheckConfigTests {
    private func read(_ yaml: String) throws -> ([HealthCheckConfig], [String]) {
        var source = ConfigSource(.files)
        source.add(try ConfigTree(yaml: yaml, source: "mesher.yaml"))
        var reader = ConfigReader(ConfigStore([source]))
        let checks = HealthCheckConfig.readAll(&reader)
        return (checks, reader.problems.map(\.description))
    }

    @Test("reads the list")
    func reads() throws {
        let (checks, problems) = try self.read("localHealthCheck: [{port: 8080}, {port: '9000', interval: 1m}]")
        #expect(problems.isEmpty)
        #expect(checks.map(\.port) == [8080, 9000])
        #expect(checks.map(\.interval) == [.seconds(30), .seconds(60)])
    }

    @Test("reads how to check")
    func methods() throws {
        let (checks, problems) = try self.read(
            """
            localHealthCheck:
              - {port: 1, protocol: rest, uri: /health, match: {status: '204', body: o+k}, failureThreshold: 3}
              - {port: 2, protocol: rest}
              - {port: 3, protocol: highway, successThreshold: 2}
            """)
        #expect(checks.map(\.name) == ["rest:1/health", "rest:2/", "tcp:3"])
        #expect(checks.map(\.failureThreshold) == [3, 1, 1])
        #expect(checks.map(\.successThreshold) == [1, 1, 2])
        guard case .rest(_, let expectation) = checks[0].method else {
            Issue.record("not by HTTP")
            return
        }
        #expect(expectation.status == 204)
        #expect(expectation.body?.text == "o+k")
        #expect(
            problems == [
                "mesher.yaml:4:25: note: localHealthCheck[].protocol: there is no check for highway: the port is connected to"
            ])
    }

    @Test("notes the mistakes of every element")
    func mistakes() throws {
        let (_, problems) = try self.read(
            "localHealthCheck:\n  - {protocol: rest}\n  - {port: x}\n  - {port: 1, interval: 5}\n")
        #expect(
            problems == [
                "mesher.yaml:2:5: localHealthCheck[].port: port is empty; write the port of the local application: port: 8080",
                "mesher.yaml:3:12: localHealthCheck[].port: \"x\" is no port; write a number from 1 to 65535",
                "mesher.yaml:4:25: localHealthCheck[].interval: \"5\" is not a duration; write 5s or 5ms",
            ])
    }
}
