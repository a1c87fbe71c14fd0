// SPDX-License-Identifier: Apache-2.0

import Common
import Testing

@testable import Mesher

@Suite struct DevPlanTests {
    private func file(_ text: String) throws -> DevFile { DevFile(try ConfigTree(yaml: text, source: "dev.yaml")) }

    private func plan(_ text: String, isFree: (String, Int) -> Bool = { _, _ in true }) throws -> DevPlan {
        DevPlan(try self.file(text), path: "dev.yaml", stateDirectory: "/s", isFree: isFree)
    }

    @Test("free ports are in blocks, the same each time")
    func blocks() throws {
        let plan = try self.plan("services: {web: 8080, cart: 8081}")
        #expect(plan.registry == 30_100 && plan.page == 30_102)
        #expect(plan.sidecars.map(\.ports.http) == [30_110, 30_120])
        #expect(plan.sidecars.map(\.ports.grpc) == [30_111, 30_121])
        #expect(plan.sidecars.map(\.ports.admin) == [30_112, 30_122])
    }

    @Test("a block in which anything is taken is passed over, whoever has it")
    func takenPorts() throws {
        let plan = try self.plan("services: {web: 30112, cart: {port: 1, outgoing: 30131}, job: }") { _, port in
            ![30_100, 30_122].contains(port)
        }
        #expect(plan.registry == 30_110)
        #expect(plan.sidecars.map(\.ports.http) == [30_140, 30_131, 30_160])
        #expect(plan.sidecars[1].ports.admin == 30_152)
        #expect(plan.problems.isEmpty)
    }

    @Test("a port that the file names and somebody has is told")
    func namedPorts() throws {
        let plan = try self.plan("page: 80\nservices:\n  web: {port: 1, outgoing: 30101}\n") { host, port in
            port != 80 && !(host == "127.0.0.2" && port == 30_101)
        }
        #expect(
            plan.problems.map(\.description) == [
                "dev.yaml:1:7: page: port 80 of 127.0.0.1 is taken; free it, write another, or leave it out",
                "dev.yaml:3:28: services.web.outgoing: port 30101 of 127.0.0.2 is taken; free it, write another, or leave it out",
            ])
    }

    @Test("instances of a service are told apart")
    func instances() throws {
        let file = try self.file("services: {cart: [8081, {port: 8082, version: 2.0.0}], job: }")
        #expect(file.problems.isEmpty)
        #expect(file.instances.map(\.id.label) == ["cart", "cart-2", "job"])
        #expect(file.instances.map { file.listening($0.id) } == ["127.0.0.1:8081", "127.0.0.1:8082", nil])
        #expect(file.instances.map(\.known.version) == ["0.0.1", "2.0.0", "0.0.1"])
    }

    @Test("keys that the command sets are refused, in each spelling")
    func ownKeys() throws {
        for key in [
            "cse: {protocols: {http: {listenAddress: 'a'}}}", "servicecomb: {service: {name: x}}", "logLevel: INFO",
            "servicecomb: {registry: {address: x}}",
        ] {
            #expect(try self.file("services: {web: {port: 1, config: {\(key)}}}").problems.count == 1, "\(key)")
            #expect(try self.file("services: {web: 1}\nrules: {\(key)}").problems.count == 1, "\(key)")
        }
        #expect(try self.file("services: {web: 1}\nrules: {accessLogFile: stdout}").problems.isEmpty)
    }
}
