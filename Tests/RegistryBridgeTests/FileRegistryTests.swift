// SPDX-License-Identifier: Apache-2.0

import Common
import Foundation
import Logging
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
        #expect(try FileRegistry.read(text, source: "service.json").map(\.name) == ["inventory"])
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
        #expect { try FileRegistry.read(text, source: "f") } throws: { "\($0)".hasPrefix(message) }
    }
}
