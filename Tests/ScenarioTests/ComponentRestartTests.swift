// SPDX-License-Identifier: Apache-2.0

import Common
import Mesher
import NIOCore
import TestSupport
import Testing

/// Promise: a component that fails is restarted while traffic goes on.
@Suite(.timeLimit(.minutes(1))) struct ComponentRestartTests {
    @Test(
        "killing Egress and Ingress again and again loses no connection and no request",
        arguments: ["egress", "ingress"])
    func trafficGoesOn(component: String) async throws {
        let origin = try await TestOrigin.start { _ in TestOrigin.response("hello") }
        let sidecar = try await TestSidecar.start(services: ["cart": [origin.port]], applicationPort: origin.port)
        let isEgress = component == "egress"
        let connection = try await isEgress ? sidecar.connectOutgoing() : sidecar.connectIncoming()
        let target = isEgress ? "http://cart/x" : "/x"
        for round in 1...20 {
            sidecar.sidecar.supervisor.interrupt(component)
            try await connection.send("GET \(target) HTTP/1.1\r\nHost: cart\r\n\r\n")
            let answer = await connection.read(until: "hello")
            #expect(answer.hasPrefix("HTTP/1.1 200 OK\r\n"), "round \(round)")
            connection.forget()
        }
        #expect(origin.heads.count == 20)
        #expect((sidecar.sidecar.supervisor.restarts.current[component] ?? 0) > 0)
        await connection.close()
        try await sidecar.stop()
        await origin.stop()
    }

    @Test(
        "killing any component again and again disturbs no request in flight and none that follows",
        arguments: ["admin", "egress", "ingress", "health", "memory", "registry", "readiness"])
    func inFlight(component: String) async throws {
        let gate = Gate()
        let origin = try await TestOrigin.start { head in
            if head.contains("/held") { await gate.pass() }
            return TestOrigin.response("hello")
        }
        let admin = try await TestSidecar.freePort()
        let sidecar = try await TestSidecar.start(
            services: ["cart": [origin.port]], applicationPort: origin.port,
            ["cse.protocols.rest-admin.listenAddress": "127.0.0.1:\(admin)"])
        var held: [TestConnection] = []
        for index in 0..<20 {
            let isOutgoing = index.isMultiple(of: 2)
            let connection = try await isOutgoing ? sidecar.connectOutgoing() : sidecar.connectIncoming()
            try await connection.send("GET \(isOutgoing ? "http://cart" : "")/held HTTP/1.1\r\nHost: cart\r\n\r\n")
            held.append(connection)
        }
        while gate.arrived < 20 { await Task.yield() }
        let (outgoing, incoming) = (try await sidecar.connectOutgoing(), try await sidecar.connectIncoming())
        let restarts = sidecar.sidecar.supervisor.restarts
        for round in 1...3 {
            while (restarts.current[component] ?? 0) < round {
                sidecar.sidecar.supervisor.interrupt(component)
                for (connection, target) in [(outgoing, "http://cart/x"), (incoming, "/x")] {
                    connection.forget()
                    try await connection.send("GET \(target) HTTP/1.1\r\nHost: cart\r\n\r\n")
                    #expect(await connection.read(until: "hello").hasPrefix("HTTP/1.1 200 OK\r\n"))
                }
            }
        }
        gate.open()
        for connection in held {
            #expect(await connection.read(until: "hello").hasPrefix("HTTP/1.1 200 OK\r\n"))
            await connection.close()
        }
        await outgoing.close()
        await incoming.close()
        // The one that was killed last is back and does its work: here, that of the admin API.
        #expect(
            await eventually {
                guard let probe = try? await TestConnection.open(try .init(ipAddress: "127.0.0.1", port: admin)) else {
                    return false
                }
                try? await probe.send("GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                let answer = await probe.read(until: "ready\n")
                await probe.close()
                return answer.hasPrefix("HTTP/1.1 200 ")
            })
        try await sidecar.stop()
        await origin.stop()
    }
}
