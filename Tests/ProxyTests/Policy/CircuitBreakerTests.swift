// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import Proxy
import Testing

@Suite struct CircuitBreakerTests {
    private static let example = CircuitBreaker.Settings(
        isEnabled: true, requestVolumeThreshold: 10, errorThresholdPercentage: 40)

    /// A breaker after requests in the first second, every one of which was admitted.
    private static func breaker(
        _ settings: CircuitBreaker.Settings = example, requests: Int, errors: Int
    ) -> CircuitBreaker {
        var breaker = CircuitBreaker(settings)
        for _ in 0..<requests { #expect(breaker.admit(at: .at(.seconds(1))) == .admitted) }
        for index in 0..<requests {
            if index < errors { breaker.failed(at: .at(.seconds(1))) } else { breaker.succeeded(at: .at(.seconds(1))) }
        }
        return breaker
    }

    private static func refused(_ wait: Duration) -> CircuitBreaker.Admission { .refused(retryAfter: wait) }

    @Test("the example of the specification: opens at 4 errors of 10, tries after 15 seconds")
    func example() {
        var breaker = Self.breaker(requests: 10, errors: 4)
        #expect(breaker.report(at: .at(.seconds(1))).state == .closed)
        #expect(breaker.admit(at: .at(.seconds(2))) == Self.refused(.seconds(15)))
        #expect(breaker.admit(at: .at(.milliseconds(16_900))) == Self.refused(.milliseconds(100)))
        #expect(breaker.report(at: .at(.milliseconds(16_900))).state == .open)

        #expect(breaker.admit(at: .at(.seconds(17))) == .trial)
        #expect(breaker.report(at: .at(.seconds(17))).state == .halfOpen)
        #expect(breaker.admit(at: .at(.seconds(17))) == Self.refused(.seconds(15)))
        #expect(breaker.admit(at: .at(.seconds(18))) == Self.refused(.seconds(14)))

        breaker.failed(at: .at(.seconds(18)))
        #expect(breaker.report(at: .at(.seconds(18))).state == .open)
        #expect(breaker.admit(at: .at(.milliseconds(31_500))) == Self.refused(.milliseconds(500)))
        #expect(breaker.admit(at: .at(.seconds(32))) == .trial)
        breaker.succeeded(at: .at(.seconds(33)))
        #expect(breaker.report(at: .at(.seconds(33))).text == "closed, 0 of 0, 0 %, trial in nil")
        #expect(breaker.admit(at: .at(.seconds(33))) == .admitted)
    }

    @Test(
        "opens from the threshold on, with the percentage rounded to the nearest",
        arguments: [
            // requests, errors, percentage, opens
            (9, 9, 100, false), (10, 3, 30, false), (10, 4, 40, true), (20, 8, 40, true), (38, 15, 39, false),
            (43, 17, 40, true), (200, 79, 40, true), (1000, 394, 39, false), (1000, 395, 40, true), (10, 10, 100, true),
        ])
    func thresholds(requests: Int, errors: Int, percentage: Int, opens: Bool) {
        var breaker = Self.breaker(requests: requests, errors: errors)
        #expect(breaker.report(at: .at(.seconds(1))).errorPercentage == percentage)
        #expect((breaker.admit(at: .at(.seconds(1))) != .admitted) == opens)
    }

    @Test("counts what happened in the current second and the nine before")
    func window() {
        var breaker = Self.breaker(requests: 10, errors: 4)
        #expect(breaker.report(at: .at(.seconds(10.9))).requests == 10)
        #expect(breaker.report(at: .at(.seconds(11))).requests == 0)
        #expect(breaker.admit(at: .at(.seconds(11))) == .admitted)

        var sliding = CircuitBreaker(.init(isEnabled: true, requestVolumeThreshold: 1_000))
        for second in 1...30 {
            for _ in 0..<second { sliding.failed(at: .at(.seconds(second))) }
            let expected = (max(1, second - 9)...second).reduce(0, +)
            #expect(sliding.report(at: .at(.seconds(second))).requests == expected)
        }
        #expect(sliding.report(at: .at(.seconds(3_000))).requests == 0)
        // By the clock of a loop that is a little behind.
        sliding.failed(at: .at(.seconds(29)))
        #expect(sliding.report(at: .at(.seconds(30))).requests == (21...30).reduce(1, +))
    }

    @Test("refused requests count as requests, and are no errors")
    func shortCircuits() {
        var breaker = Self.breaker(requests: 10, errors: 4)
        for _ in 0..<10 { _ = breaker.admit(at: .at(.seconds(1))) }
        #expect(breaker.report(at: .at(.seconds(1))).text == "open, 4 of 20, 20 %, trial in 15.0 seconds")
    }

    @Test("rejections of the bulkhead are errors")
    func rejections() {
        var breaker = Self.breaker(requests: 6, errors: 0)
        for _ in 0..<4 { breaker.rejected(at: .at(.seconds(1))) }
        #expect(breaker.admit(at: .at(.seconds(1))) == Self.refused(.seconds(15)))
    }

    @Test("any success closes an open circuit, a failure of an earlier request changes nothing")
    func earlierRequests() {
        var breaker = Self.breaker(requests: 10, errors: 4)
        #expect(breaker.admit(at: .at(.seconds(2))) == Self.refused(.seconds(15)))
        breaker.failed(at: .at(.seconds(4)))
        #expect(breaker.admit(at: .at(.seconds(5))) == Self.refused(.seconds(12)))
        breaker.succeeded(at: .at(.seconds(5)))
        #expect(breaker.admit(at: .at(.seconds(5))) == .admitted)
    }

    @Test("a trial that was given up makes room for another; one without an outcome holds others back for a window")
    func lostTrials() {
        var breaker = Self.breaker(requests: 10, errors: 10)
        breaker.abandoned(at: .at(.seconds(1)))
        #expect(breaker.admit(at: .at(.seconds(1))) == Self.refused(.seconds(15)))
        #expect(breaker.admit(at: .at(.seconds(16))) == .trial)
        breaker.abandoned(at: .at(.seconds(17)))
        #expect(breaker.report(at: .at(.seconds(17))).untilTrial == .zero)
        #expect(breaker.admit(at: .at(.seconds(17))) == .trial)
        #expect(breaker.admit(at: .at(.seconds(31))) == Self.refused(.seconds(1)))
        #expect(breaker.admit(at: .at(.seconds(32))) == .trial)
    }

    @Test(
        "open by configuration beats closed by configuration, which beats the state; neither works when not enabled",
        arguments: [
            (true, true, false, CircuitBreaker.Admission.refused(retryAfter: nil), CircuitBreaker.State.open),
            (true, true, true, .refused(retryAfter: nil), .open), (true, false, true, .admitted, .closed),
            (true, false, false, .refused(retryAfter: .seconds(15)), .open), (false, true, false, .admitted, .closed),
            (false, false, false, .admitted, .closed),
        ])
    func forced(
        isEnabled: Bool, open: Bool, closed: Bool, admission: CircuitBreaker.Admission, state: CircuitBreaker.State
    ) {
        var breaker = CircuitBreaker(.init(isEnabled: isEnabled, isForcedOpen: open, isForcedClosed: closed))
        for _ in 0..<100 { breaker.failed(at: .at(.seconds(1))) }
        #expect(breaker.admit(at: .at(.seconds(1))) == admission)
        #expect(breaker.report(at: .at(.seconds(1))).state == state)
    }

    @Test("without thresholds, a circuit without requests stays closed")
    func empty() {
        var breaker = CircuitBreaker(
            .init(isEnabled: true, requestVolumeThreshold: 0, errorThresholdPercentage: 0))
        #expect(breaker.admit(at: .at(.seconds(1))) == .admitted)
        #expect(breaker.admit(at: .distantFuture) == .admitted)
    }
}
