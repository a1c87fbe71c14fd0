// SPDX-License-Identifier: Apache-2.0

import Common
import Proxy
import Testing

@Suite struct BackoffTests {
    private static func waits(_ backoff: Backoff, _ attempt: Int) -> [Duration] {
        var random = FastRandom(seed: UInt64(bitPattern: Int64(attempt)))
        return (0..<2_000).map { _ in backoff.wait(before: attempt, using: &random) }
    }

    @Test(
        "grows by half each time up to the maximum, half more or less at random",
        arguments: [
            // minimum, maximum, attempt, mean in milliseconds
            (100, 1_000, 1, 100), (100, 1_000, 2, 150), (100, 1_000, 3, 225), (100, 1_000, 6, 759.375),
            (100, 1_000, 7, 1_000), (100, 1_000, 10_000, 1_000), (100, 100, 5, 100), (100, 0, 3, 225),
            (100, 50, 2, 150),
            (100, 0, .max, 3_600_000), (7_200_000, 0, 3, 7_200_000), (100, 1_000, 0, 100), (100, 1_000, .min, 100),
        ] as [(Int, Int, Int, Double)])
    func exponential(minimum: Int, maximum: Int, attempt: Int, mean: Double) {
        let backoff = Backoff(kind: .exponential, minimum: .milliseconds(minimum), maximum: .milliseconds(maximum))
        let waits = Self.waits(backoff, attempt).map { $0 / .milliseconds(1) / mean }
        #expect(waits.allSatisfy { 0.4999...1.5001 ~= $0 })
        #expect(0.49...0.55 ~= waits.reduce(2, min))
        #expect(1.45...1.51 ~= waits.reduce(0, max))
        #expect(0.95...1.05 ~= waits.reduce(0, +) / Double(waits.count))
    }

    @Test(
        "waits that begin at zero double up to the maximum, and each is anything up to its length",
        arguments: [(1, 25), (2, 50), (3, 100), (5, 250), (100, 250)])
    func fromZero(attempt: Int, longest: Int) {
        var backoff = Backoff(kind: .exponential, minimum: .milliseconds(25), maximum: .milliseconds(250))
        backoff.beginsAtZero = true
        let waits = Self.waits(backoff, attempt).map { $0 / .milliseconds(1) / Double(longest) }
        #expect(waits.allSatisfy { 0...1.0001 ~= $0 })
        #expect(waits.reduce(2, min) < 0.01 && waits.reduce(0, max) > 0.99)
        #expect(0.47...0.53 ~= waits.reduce(0, +) / Double(waits.count))
    }

    @Test("waits the minimum every time, or never")
    func others() {
        let constant = Backoff(kind: .constant, minimum: .milliseconds(30), maximum: .milliseconds(10))
        #expect([1, 2, 50].allSatisfy { Set(Self.waits(constant, $0)) == [.milliseconds(30)] })
        let zero = Backoff(kind: .zero, minimum: .milliseconds(30), maximum: .seconds(1))
        #expect(Set(Self.waits(zero, 3)) == [.zero])
        for kind in Backoff.Kind.allCases {
            #expect(Set(Self.waits(Backoff(kind: kind, minimum: .zero, maximum: .seconds(1)), 3)) == [.zero])
            #expect(Set(Self.waits(Backoff(kind: kind, minimum: .seconds(-1)), 3)) == [.zero])
        }
    }

    @Test("takes the longest durations")
    func extremes() {
        let backoff = Backoff(kind: .exponential, minimum: .seconds(Int64.max), maximum: .seconds(Int64.max))
        #expect(Self.waits(backoff, 9).allSatisfy { $0 > .seconds(1_000_000_000) })
    }
}
