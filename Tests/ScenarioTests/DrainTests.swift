// SPDX-License-Identifier: Apache-2.0

import Common
import Mesher
import Synchronization
import TestSupport
import Testing

/// Promise: a graceful stop loses no request.
@Suite(.timeLimit(.minutes(1))) struct DrainTests {
    /// Holds answers back until it is opened.
    private final class Gate: Sendable {
        private let state = Mutex<(isOpen: Bool, waiting: [CheckedContinuation<Void, Never>], arrived: Int)>(
            (false, [], 0))
        var arrived: Int { self.state.withLock { $0.arrived } }
        func pass() async {
            await withCheckedContinuation { continuation in
                let isOpen = self.state.withLock { state in
                    state.arrived += 1
                    if !state.isOpen { state.waiting.append(continuation) }
                    return state.isOpen
                }
                if isOpen { continuation.resume() }
            }
        }
        func open() {
            let waiting = self.state.withLock { state in
                state.isOpen = true
                return state.waiting
            }
            for continuation in waiting { continuation.resume() }
        }
    }

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
}
