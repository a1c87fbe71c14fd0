// SPDX-License-Identifier: Apache-2.0

import Common
import Mesher
import Proxy
import TestSupport
import Testing

/// Promise: a graceful stop loses no request.
@Suite(.timeLimit(.minutes(1))) struct DrainTests {
    @Test("requests in flight are answered, idle connections are closed, and then the process ends")
    func inFlight() async throws {
        let gate = Gate()
        let origin = try await TestOrigin.start { _ in
            await gate.pass()
            return TestOrigin.response("late")
        }
        let sidecar = try await TestSidecar.start(services: ["cart": [origin.port]], applicationPort: origin.port)
        let idle = try await sidecar.connectIncoming()
        var busy: [TestConnection] = []
        for index in 0..<60 {
            let isOutgoing = index.isMultiple(of: 2)
            let connection = try await isOutgoing ? sidecar.connectOutgoing() : sidecar.connectIncoming()
            try await connection.send("GET \(isOutgoing ? "http://cart/x" : "/x") HTTP/1.1\r\nHost: cart\r\n\r\n")
            busy.append(connection)
        }
        while gate.arrived < 60 { await Task.yield() }
        let stopping = Task { try await sidecar.stop() }
        #expect(await idle.readToEnd().isEmpty)
        #expect(sidecar.sidecar.readiness.missing == ["draining"])
        gate.open()
        for (index, connection) in busy.enumerated() {
            let answer = await connection.readToEnd()
            #expect(answer.hasPrefix("HTTP/1.1 200 OK\r\n") && answer.hasSuffix("late"))
            // Outgoing traffic is drained last: what is being served may need other services to the end.
            if !index.isMultiple(of: 2) { #expect(answer.contains("Connection: close\r\n")) }
        }
        try await stopping.value
        await origin.stop()
    }

    @Test("others are served as before until they have learned of it, and only they")
    func notice() async throws {
        let origin = try await TestOrigin.start { _ in TestOrigin.response("here") }
        let sidecar = try await TestSidecar.start(
            services: [:], applicationPort: origin.port, ["mesher.timeouts.notice": "1s"])
        let old = try await sidecar.connectIncoming()
        let stopping = Task { try await sidecar.stop() }
        #expect(await eventually { sidecar.sidecar.readiness.missing == ["draining"] })
        for connection in [old, try await sidecar.connectIncoming()] {
            try await connection.send("GET /x HTTP/1.1\r\nHost: cart\r\n\r\n")
            let answer = await connection.read(until: "here")
            #expect(answer.hasSuffix("here") && !answer.contains("Connection: close"))
        }
        #expect(await old.readToEnd().hasSuffix("here"), "an idle connection is closed at its end")
        try await stopping.value
        await origin.stop()
    }

    @Test("out of service, it serves whoever still comes and its own application, until it is stopped at once")
    func leaving() async throws {
        let origin = try await TestOrigin.start { _ in TestOrigin.response("here") }
        let sidecar = try await TestSidecar.start(
            services: ["cart": [origin.port]], applicationPort: origin.port, ["mesher.timeouts.notice": "1s"])
        let (old, own) = (try await sidecar.connectIncoming(), try await sidecar.connectOutgoing())
        func ask(_ connection: TestConnection, _ target: String) async throws -> String {
            connection.forget()
            try await connection.send("GET \(target) HTTP/1.1\r\nHost: cart\r\n\r\n")
            return await connection.read(until: "here")
        }
        sidecar.sidecar.leave(askedBy: "a test")
        #expect(sidecar.sidecar.readiness.missing == ["draining"])
        #expect(try await !ask(old, "/x").contains("Connection: close"), "others have not learned of it yet")
        #expect(await eventually { sidecar.sidecar.plans[1].current.ending == .announced })
        try await sidecar.settle()
        // Those that were there, those that come, and a new configuration.
        #expect(try await ask(old, "/x").contains("Connection: close"))
        #expect(await old.readToEnd().hasSuffix("here"))
        try await sidecar.change(["mesher.timeouts.stream": "9s"])
        #expect(try await ask(sidecar.connectIncoming(), "/x").contains("Connection: close"))
        for _ in 0..<2 { #expect(try await !ask(own, "http://cart/x").contains("Connection: close")) }
        let start = ContinuousClock.now
        try await sidecar.stop()
        #expect(ContinuousClock.now - start < .milliseconds(900), "the notice is over")
        await origin.stop()
    }

    @Test("what is still in flight when the time is over is cut, and the log says how much")
    func cut() async throws {
        let gate = Gate()
        let origin = try await TestOrigin.start { _ in
            await gate.pass()
            return TestOrigin.response("late")
        }
        let log = TestLog()
        let sidecar = try await TestSidecar.start(
            services: ["cart": [origin.port]], ["mesher.timeouts.drain": "1500ms"], logger: log.logger)
        var busy: [TestConnection] = []
        for _ in 0..<3 {
            let connection = try await sidecar.connectOutgoing()
            try await connection.send("GET http://cart/x HTTP/1.1\r\nHost: cart\r\n\r\n")
            busy.append(connection)
        }
        while gate.arrived < 3 { await Task.yield() }
        try await sidecar.stop()
        for connection in busy {
            // Which of the two connections of a request goes first is chance.
            let answer = await connection.readToEnd()
            #expect(answer.isEmpty || answer.contains("x-mesher-error: upstream_reset"))
        }
        let warnings = log.lines.filter { $0.hasPrefix("warning connections cut") }
        #expect(warnings.count == 1 && warnings[0].hasSuffix("connections=3 direction=outgoing"))
        gate.open()
        await origin.stop()
    }
}
