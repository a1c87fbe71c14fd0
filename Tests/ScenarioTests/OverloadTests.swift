// SPDX-License-Identifier: Apache-2.0

import Common
import Mesher
import NIOCore
import TestSupport
import Testing

/// Promise: a sidecar that runs out of memory first lets go of connections, then refuses requests, and recovers.
@Suite(.timeLimit(.minutes(1))) struct OverloadTests {
    private func level(_ sidecar: TestSidecar) -> Double? {
        sidecar.sidecar.metrics.families().first { $0.name == "mesher_overload_level" }?.samples.first?.value
    }

    /// Returns when every listener and connection knows of the level: it is logged when the loops have been told.
    private func wait(for level: Overload.Level, _ log: TestLog, _ sidecar: TestSidecar) async throws {
        #expect(await eventually { log.lines.last { $0.contains("level=") }?.contains("level=\(level)") == true })
        try await sidecar.settle()
    }

    private static let request = "GET http://cart/ HTTP/1.1\r\nHost: cart\r\n\r\n"

    @Test("above 85 % connections end, above 95 % requests are refused and none is accepted; below, all is well again")
    func levels() async throws {
        let origin = try await TestOrigin.start { _ in TestOrigin.response("hello") }
        let admin = try await TestSidecar.freePort()
        let log = TestLog()
        let sidecar = try await TestSidecar.start(
            services: ["cart": [origin.port]], ["cse.protocols.rest-admin.listenAddress": "127.0.0.1:\(admin)"],
            logger: log.logger, memory: ProcessMemory(resident: { 100 << 20 }, limit: { nil }))
        let idle = try await sidecar.connectOutgoing()
        try await idle.send(Self.request)
        #expect(await idle.read(until: "hello").contains("Connection:") == false)
        #expect(origin.connections == 1)

        try await sidecar.change(["mesher.limits.memory": "115MiB"])
        try await self.wait(for: .high, log, sidecar)
        #expect(self.level(sidecar) == 1)
        // Those that waited for a next request are closed, on both sides.
        #expect(await idle.readToEnd().hasSuffix("hello"))
        #expect(await eventually { origin.connections == 0 })
        let high = try await sidecar.connectOutgoing()
        try await high.send(Self.request)
        let answer = await high.readToEnd()
        #expect(answer.hasPrefix("HTTP/1.1 200 ") && answer.contains("\r\nConnection: close\r\n"))
        #expect(await eventually { origin.connections == 0 })

        let open = try await sidecar.connectOutgoing()
        // Its accepting must not be left to chance.
        try await open.send("GET http://cart/ HTTP/1.1\r\n")
        #expect(await eventually { sidecar.sidecar.connections == 1 })
        try await sidecar.change(["mesher.limits.memory": "101MiB"])
        try await self.wait(for: .critical, log, sidecar)
        #expect(self.level(sidecar) == 2)
        try await open.send("Host: cart\r\n\r\n")
        let refused = await open.readToEnd()
        #expect(refused.hasPrefix("HTTP/1.1 503 "))
        for line in ["x-mesher-error: overloaded", "Retry-After: 1", "Connection: close"] {
            #expect(refused.contains("\r\n\(line)\r\n"))
        }
        #expect(await eventually { sidecar.sidecar.connections == 0 })

        // The kernel takes the connection, the sidecar does not.
        let waiting = try await sidecar.connectOutgoing()
        try await waiting.send(Self.request)
        let probe = try await TestConnection.open(try .init(ipAddress: "127.0.0.1", port: admin))
        try await probe.send("GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        #expect(await probe.read(until: "ready\n").hasPrefix("HTTP/1.1 200 "))
        #expect(sidecar.sidecar.connections == 0)

        try await sidecar.change(["mesher.limits.memory": "1GiB"])
        try await self.wait(for: .normal, log, sidecar)
        let served = await waiting.read(until: "hello")
        #expect(served.hasPrefix("HTTP/1.1 200 ") && !served.contains("Connection:"))
        #expect(self.level(sidecar) == 0)
        for connection in [idle, high, open, waiting, probe] { await connection.close() }
        try await sidecar.stop()
        await origin.stop()
    }

    @Test("the limit of the control group holds when none is configured, and is shown")
    func systemLimit() async throws {
        let sidecar = try await TestSidecar.start(
            services: [:], memory: ProcessMemory(resident: { 90 }, limit: { 100 }))
        #expect(await eventually { self.level(sidecar) == 1 })
        let limit = sidecar.sidecar.metrics.families().first { $0.name == "mesher_memory_limit_bytes" }
        #expect(limit?.samples.first?.value == 100)
        try await sidecar.stop()
    }
}
