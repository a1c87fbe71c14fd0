// SPDX-License-Identifier: Apache-2.0

import Common
import Mesher
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
}
