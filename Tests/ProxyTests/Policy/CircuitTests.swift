// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import Proxy
import Testing

@Suite struct CircuitTests {
    @Test("gives as many tickets as the limit says", arguments: [(2, 2), (0, 0), (-1, 0), (9_000, 5_000)])
    func tickets(limit: Int, expected: Int) {
        let circuit = Circuit(settings: .init(), limit: limit)
        #expect((0..<10_000).count { _ in circuit.take() } == expected)
        #expect(circuit.inFlight == expected)
        guard expected > 0 else { return }
        circuit.giveBack()
        #expect(circuit.take())
        #expect(!circuit.take())
    }

    @Test("threads together never hold more tickets than there are, and lose none")
    func threads() async {
        let circuit = Circuit(settings: .init(), limit: 3)
        let most = await withTaskGroup(of: Int.self) { group in
            for _ in 0..<4 {
                group.addTask {
                    var most = 0
                    for _ in 0..<20_000 where circuit.take() {
                        most = max(most, circuit.inFlight)
                        circuit.giveBack()
                    }
                    return most
                }
            }
            return await group.reduce(0, max)
        }
        #expect(1...3 ~= most)
        #expect(circuit.inFlight == 0)
    }

    @Test("passes everything on to its breaker when that is enabled")
    func breaker() {
        let now = NIODeadline.at(.seconds(1))
        let circuit = Circuit(
            settings: .init(isEnabled: true, requestVolumeThreshold: 4, errorThresholdPercentage: 50), limit: 1)
        circuit.succeeded(at: now)
        circuit.succeeded(at: now)
        circuit.failed(at: now)
        #expect(circuit.admit(at: now) == .admitted)
        circuit.rejected(at: now)
        #expect(circuit.admit(at: now) == .refused(retryAfter: .seconds(15)))
        #expect(circuit.admit(at: .at(.seconds(16))) == .trial)
        #expect(circuit.report(at: .at(.seconds(16))).state == .halfOpen)
        circuit.abandoned(at: .at(.seconds(17)))
        #expect(circuit.admit(at: .at(.seconds(17))) == .trial)
        circuit.succeeded(at: .at(.seconds(17)))
        #expect(circuit.report(at: .at(.seconds(17))).state == .closed)
    }

    @Test("counts nothing when the breaker is not enabled")
    func disabled() {
        let circuit = Circuit(settings: .init(isForcedOpen: true), limit: 1)
        for _ in 0..<100 {
            #expect(circuit.admit(at: .at(.seconds(1))) == .admitted)
            circuit.failed(at: .at(.seconds(1)))
        }
        #expect(circuit.report(at: .at(.seconds(1))).text == "closed, 0 of 0, 0 %, trial in nil")
    }
}
