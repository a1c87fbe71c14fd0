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

    @Test("an operator closes it, and nothing is counted then")
    func reset() {
        let settings = CircuitBreaker.Settings(
            isEnabled: true, requestVolumeThreshold: 2, errorThresholdPercentage: 50)
        let circuit = Circuit(settings: settings, limit: 10)
        let now = NIODeadline.at(.seconds(1))
        #expect(circuit.reset(at: now) == .closed)
        for _ in 0..<2 { circuit.failed(at: now) }
        #expect(circuit.admit(at: now) == .refused(retryAfter: .seconds(15)))
        #expect(circuit.reset(at: now) == .open)
        #expect(circuit.takeChange() == nil, "whoever has done it says so")
        #expect(circuit.admit(at: now) == .admitted && circuit.report(at: now).requests == 0)
        // It opens as before, and a trial that was under way is an outcome like any other.
        for _ in 0..<2 { circuit.failed(at: now) }
        _ = circuit.admit(at: now)
        #expect(circuit.admit(at: .at(.seconds(20))) == .trial && circuit.reset(at: .at(.seconds(20))) == .halfOpen)
        circuit.failed(at: .at(.seconds(20)))
        #expect(circuit.admit(at: .at(.seconds(20))) == .admitted)
        circuit.failed(at: .at(.seconds(20)))
        #expect(circuit.admit(at: .at(.seconds(20))) == .refused(retryAfter: .seconds(15)))
    }

    @Test("tells once that it has opened, and once that it has closed, whatever its trials came to in between")
    func changes() {
        let circuit = Circuit(
            settings: .init(isEnabled: true, requestVolumeThreshold: 2, errorThresholdPercentage: 50), limit: 1)
        for second in [1.0, 1.1] { circuit.failed(at: .at(.seconds(second))) }
        #expect(circuit.takeChange() == nil)
        #expect(circuit.admit(at: .at(.seconds(2))) == .refused(retryAfter: .seconds(15)))
        #expect(circuit.takeChange() == .opened && circuit.takeChange() == nil)
        #expect(circuit.admit(at: .at(.seconds(17))) == .trial)
        circuit.failed(at: .at(.seconds(17)))
        #expect(circuit.takeChange() == nil)
        #expect(circuit.admit(at: .at(.seconds(32))) == .trial)
        circuit.succeeded(at: .at(.seconds(32)))
        #expect(circuit.takeChange() == .closed && circuit.takeChange() == nil)
        circuit.succeeded(at: .at(.seconds(33)))
        #expect(circuit.takeChange() == nil)
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

    @Test("is calm until the second is over, as long as nothing speaks against the next request")
    func calm() {
        func calm(_ change: (inout CircuitBreaker.Settings) -> Void, _ outcomes: [Bool]) -> NIODeadline {
            var settings = CircuitBreaker.Settings(isEnabled: true, requestVolumeThreshold: 4)
            change(&settings)
            var breaker = CircuitBreaker(settings)
            for isSuccess in outcomes {
                _ = breaker.admit(at: .at(.seconds(7.5)))
                if isSuccess {
                    breaker.succeeded(at: .at(.seconds(7.5)))
                } else {
                    breaker.failed(at: .at(.seconds(7.5)))
                }
            }
            return breaker.calmUntil
        }
        #expect(calm({ _ in }, [true, false]) == .at(.seconds(8)))
        #expect(calm({ _ in }, [true, false, true, false]) == .at(.zero))
        #expect(calm({ $0.isForcedOpen = true }, [true]) == .at(.zero))
        #expect(calm({ $0.isForcedClosed = true }, [true, false, false, false]) == .distantFuture)
    }

    @Test("decides as its breaker alone does, whatever comes", arguments: 0..<20 as Range<UInt64>)
    func sameAsBreaker(seed: UInt64) {
        var random = FastRandom(seed: seed)
        let settings = CircuitBreaker.Settings(
            isEnabled: true, requestVolumeThreshold: 5, errorThresholdPercentage: 40, sleepWindow: .seconds(2))
        let circuit = Circuit(settings: settings, limit: 1)
        var breaker = CircuitBreaker(settings)
        var time = Duration.seconds(3)
        for step in 0..<3_000 {
            time += .milliseconds(Int.random(in: 0...400, using: &random))
            // By the clock of another loop it may be a little earlier.
            let now = NIODeadline.at(time - .milliseconds(Int.random(in: 0...5, using: &random)))
            let admission = breaker.admit(at: now)
            #expect(circuit.admit(at: now) == admission, "seed \(seed), step \(step)")
            if case .refused = admission { continue }
            let isBad = step / 50 % 2 == 1
            if Int.random(in: 0..<10, using: &random) < (isBad ? 7 : 1) {
                circuit.failed(at: now)
                breaker.failed(at: now)
            } else {
                circuit.succeeded(at: now)
                breaker.succeeded(at: now)
            }
        }
        #expect(circuit.report(at: .at(time)) == breaker.report(at: .at(time)))
    }
}
