// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import HealthAgent

@Suite struct ProbeStateTests {
    @Test(
        "changes only after as many results in a row as the thresholds say",
        arguments: [
            (1, 1, "+-+--+", "+-+--+"), (3, 1, "--+--+---+", "++++++++-+"), (1, 3, "-++-+++", "------+"),
            (2, 2, "-+-+--+-++", "+++++----+"),
        ])
    func thresholds(failures: Int, successes: Int, results: String, expected: String) {
        var state = ProbeState(failureThreshold: failures, successThreshold: successes)
        let seen = results.map { result -> Character in
            state.record(isGood: result == "+")
            return state.isHealthy ? "+" : "-"
        }
        #expect(String(seen) == expected)
    }
}
