// SPDX-License-Identifier: Apache-2.0

import Common
import Dispatch
import Foundation
import Logging
import NIOCore
import NIOPosix
import RegistryBridge
import TestSupport
import Testing

private struct FileRegistryContract: RegistryContract {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("registry-\(UUID().uuidString).yaml").path

    let log = TestLog()

    var registry: any Registry {
        FileRegistry(path: self.path, interval: .milliseconds(10), logger: self.log.logger)
    }

    func want(_ service: String) {}

    func set(_ services: [String: [ContractInstance]]) async throws {
        let entries = services.map { name, instances in
            let list = instances.map {
                "{endpoints: [\"rest://10.0.0.1:\($0.port)\"], version: \($0.version), app: shop, status: \($0.status)}"
            }
            return "{name: \(name), instance: [\(list.joined(separator: ", "))]}"
        }
        try self.write("service: [\(entries.joined(separator: ", "))]")
    }

    func damage() async throws {
        try self.write("service: [{name: cart, instance: [\"rest://nonsense\"")
        try await Self.wait { self.log.lines.contains { $0.contains("registry file ignored") } }
    }

    private func write(_ text: String) throws { try text.write(toFile: self.path, atomically: true, encoding: .utf8) }
}

@Suite(.timeLimit(.minutes(1))) struct FileRegistryTests {
    @Test("keeps the registry contract")
    func contract() async throws {
        let contract = FileRegistryContract()
        try await contract.check()
        try FileManager.default.removeItem(atPath: contract.path)
    }

    @Test("reads the original's JSON")
    func json() throws {
        let text = #"{"service":[{"name":"inventory","instance":["rest://10.0.0.5:8080","grpc://10.0.0.5:9090"]}]}"#
        #expect(try FileRegistry.read(Array(text.utf8), source: "service.json").map(\.name) == ["inventory"])
    }

    @Test(
        "says what is wrong, and where",
        arguments: [
            ("{}", "f:1:1: service: the list of services is missing"),
            ("service: [{instance: []}]", "f:1:11: service[].name: a service has no name"),
            ("service: [{name: a, instance: x}]", "f:1:31: service[].instance: this is no list"),
            (
                "service: [{name: a, instance: [{version: 1}]}]",
                "f:1:32: service[].instance[].endpoints: an instance has no"
            ),
            (
                "service:\n- name: a\n  instance: [{endpoints: ['rest://1.1.1.1:1'], status: GONE}]",
                "f:3:56: service[].instance[].status: \"GONE\" is no status"
            ),
        ])
    func mistakes(text: String, message: String) {
        #expect { try FileRegistry.read(Array(text.utf8), source: "f") } throws: { "\($0)".hasPrefix(message) }
    }

    @Test("instances of a service that is listed twice are taken together, and that is told")
    func twice() throws {
        let text = "service:\n- {name: a, instance: ['rest://1.1.1.1:1']}\n- {name: a, instance: ['rest://1.1.1.2:1']}"
        var notes: [String] = []
        let services = try FileRegistry.read(Array(text.utf8), source: "f") { notes.append("\($0)") }
        #expect(services.map(\.name) == ["a"])
        #expect(notes.count == 1 && notes[0].hasPrefix("f:3:3: warning: service[].name: a is listed before"))
    }

    /// Follows a file with `services` until `body` is over.
    private func following(
        _ services: String, _ names: NameResolver, _ body: (TestPublisher, String) async throws -> Void
    ) async throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("names-\(UUID().uuidString).yaml").path
        try services.write(toFile: path, atomically: true, encoding: .utf8)
        let snapshot = TestPublisher()
        let registry = FileRegistry(
            path: path, interval: .milliseconds(10), resolver: names, logger: TestLog().logger)
        let following = Task { try await registry.follow(snapshot.publisher) }
        try await body(snapshot, path)
        following.cancel()
        _ = await following.result
        try FileManager.default.removeItem(atPath: path)
    }

    private func urls(_ snapshot: TestPublisher, _ name: String) -> [String]? {
        snapshot.current[name]?.defaultEndpoints.endpoints.map(\.url)
    }

    @Test("a host name is an instance at each of its addresses")
    func names() async throws {
        let names = NameResolver { $0 == "cart-host" ? ["10.0.0.2", "fd00::1", "10.0.0.1"] : nil }
        let text = """
            service:
            - name: cart
              instance: [{endpoints: ["rest://Cart-Host:8080", "grpc://cart-host:9000"], version: 1.0.0}]
            - {name: gone, instance: ["rest://nowhere:80"]}
            """
        try await self.following(text, names) { snapshot, _ in
            let urls = ["rest://10.0.0.1:8080", "rest://10.0.0.2:8080", "rest://[fd00::1]:8080"]
            #expect(await eventually { self.urls(snapshot, "cart") == urls })
            let instances = snapshot.current["cart"]?.instances ?? []
            #expect(Set(instances.map(\.id)).count == 3 && instances.allSatisfy { $0.version == "1.0.0" })
            // Those of one instance are at one address.
            #expect(instances.allSatisfy { Set($0.endpoints.map(\.ip)).count == 1 && $0.endpoints.count == 2 })
            #expect(await eventually { snapshot.current["gone"]?.instances.isEmpty == true })
        }
    }

    @Test("a name that is being looked up holds up nobody but those who ask for its service")
    func pending() async throws {
        let answer = DispatchSemaphore(value: 0)
        let names = NameResolver { _ in
            answer.wait()
            return ["127.0.0.1"]
        }
        let text = "service: [{name: slow, instance: ['rest://slow:1']}, {name: cart, instance: ['rest://10.0.0.1:1']}]"
        try await self.following(text, names) { snapshot, path in
            #expect(await eventually { self.urls(snapshot, "cart") == ["rest://10.0.0.1:1"] })
            let before = snapshot.current
            #expect(
                before.isSynced && before["slow"] == nil
                    && !before.settles(ServiceDemand(app: "default", name: "slow"), at: .now()))
            answer.signal()
            #expect(await eventually { self.urls(snapshot, "slow") == ["rest://127.0.0.1:1"] })
            #expect(snapshot.current.settles(ServiceDemand(app: "default", name: "nobody"), at: .now()))
            // A name that is added leaves the service as it was until it is known.
            let more = text.replacing("'rest://10.0.0.1:1'", with: "'rest://10.0.0.1:1', 'rest://later:1'")
            try more.write(toFile: path, atomically: true, encoding: .utf8)
            let published = snapshot.current
            #expect(await eventually { snapshot.current !== published })
            #expect(self.urls(snapshot, "cart") == ["rest://10.0.0.1:1"])
            answer.signal()
            #expect(await eventually { self.urls(snapshot, "cart")?.count == 2 })
        }
    }
}
