// SPDX-License-Identifier: Apache-2.0

import Common
import Testing

@testable import Mesher

/// What `mesher operate` writes.
@Suite struct OperationTextTests {
    @Test("what came of an action", arguments: OperatorRequest.Action.allCases)
    func actions(action: OperatorRequest.Action) {
        var answer = OperatorAnswer(OperatorRequest(action, "cart", instance: "10.0.0.1:80"))
        let before = OperationText.line(answer)
        answer.changed = true
        answer.endpoints = ["rest://10.0.0.1:80"]
        answer.circuit = "open"
        let after = OperationText.line(answer)
        let expected =
            switch action {
            case .disable:
                ("cart 10.0.0.1:80 is already disabled on this sidecar", "cart 10.0.0.1:80 is disabled on this sidecar")
            case .drain:
                ("cart 10.0.0.1:80 is already draining on this sidecar", "cart 10.0.0.1:80 is draining on this sidecar")
            case .enable: ("cart 10.0.0.1:80 is already enabled", "cart 10.0.0.1:80 is enabled")
            case .resetCircuit:
                (
                    "cart 10.0.0.1:80 has no circuit: nothing has called it",
                    "the circuit of cart 10.0.0.1:80 is closed; it was open"
                )
            case .resetEjection:
                ("no instance of cart 10.0.0.1:80 was ejected", "no longer ejected: rest://10.0.0.1:80")
            }
        #expect((before, after) == expected)
    }

    @Test("what is in force, a line each; names cannot drive a terminal")
    func table() {
        #expect(OperationText.table(OperatorOrders([])) == "nothing is in force")
        let orders = OperatorOrders([
            .init(service: "cart", instance: "10.0.0.1:80", app: nil, operator: .disabled, since: 0, known: true),
            .init(
                service: "st\u{1b}[2J", instance: "[fd00::1]:80", app: "shop", operator: .draining, since: 1.5,
                known: false),
        ])
        let lines = OperationText.table(orders).split(separator: "\n")
        #expect(lines.count == 3 && lines[0].hasPrefix("OPERATOR  SINCE"))
        #expect(lines[1].hasPrefix("disabled  1970-01-01") && lines[1].hasSuffix("10.0.0.1:80   cart"))
        #expect(lines[2].hasPrefix("draining  1970-01-01"))
        #expect(lines[2].hasSuffix(" of application shop (not known at present)"))
        #expect(!lines[2].contains("\u{1b}"))
    }
}
