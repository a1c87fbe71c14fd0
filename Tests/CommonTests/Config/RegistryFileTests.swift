// SPDX-License-Identifier: Apache-2.0

import Common
import Testing

/// What the file of a file registry says.
@Suite struct RegistryFileTests {
    @Test("everything that is wrong is told at once, and then nothing counts")
    func mistakes() {
        let text = """
            service:
            - name: cart
              instances: ['rest://10.0.0.1:80']
            - name: payment
              instance:
              - http://10.0.0.2:80
              - {endpoints: ['rest://10.0.0.3:80'], status: up}
              - rest://10.0.0.4
            """
        let file = RegistryFile(Array(text.utf8), source: "f")
        #expect(
            file.problems.map(\.description) == [
                "f:3:3: service[].instances: unknown key; did you mean instance?",
                "f:6:5: service[].instance: \"http://10.0.0.2:80\" gets no requests: http is no protocol of endpoints; "
                    + "write rest://10.0.0.2:80",
                "f:7:49: service[].instance[].status: \"up\" is no status; did you mean UP?",
                "f:8:5: service[].instance: \"rest://10.0.0.4\" is no endpoint (port); write protocol://host:port, such as "
                    + "rest://10.0.0.5:8080",
            ])
        #expect(file.error == file.problems.first)
    }

    @Test("what is worth a word does not keep the file from counting")
    func doubts() {
        let text = """
            service:
            - {name: my_cart, weight: 3, instance: ['rest://10.0.0.1:80', 'rest://10.0.0.1:80']}
            - {name: payment}
            """
        let file = RegistryFile(Array(text.utf8), source: "f")
        #expect(file.error == nil && file.services.map(\.name) == ["my_cart", "payment"])
        #expect(file.services.first?.instances.count == 2)
        #expect(file.problems.map(\.severity) == [.warning, .note, .warning, .warning])
    }

    @Test("a misspelt key of a service that has the right one too says nothing")
    func bothSpellings() {
        let file = RegistryFile(Array("service: [{name: a, instance: [], instances: []}]".utf8), source: "f")
        #expect(file.error == nil)
        #expect(file.problems.map(\.description) == ["f:1:35: warning: service[].instances: unknown key; remove it"])
    }
}
