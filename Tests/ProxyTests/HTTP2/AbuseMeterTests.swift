// SPDX-License-Identifier: Apache-2.0

import NIOCore
import Testing

@testable import Proxy

/// Limit L7: what a peer may do that costs more than it is worth.
@Suite struct AbuseMeterTests {
    private static func at(_ milliseconds: Int64) -> NIODeadline {
        .uptimeNanoseconds(5_000_000_000) + .milliseconds(milliseconds)
    }

    /// How many of `tries` are allowed at one moment.
    private static func allowed(
        _ meter: inout AbuseMeter, _ act: AbuseMeter.Act, _ tries: Int, at now: NIODeadline
    ) -> Int {
        var count = 0
        for _ in 0..<tries where meter.allows(act, at: now) { count += 1 }
        return count
    }

    private static let limits: [(AbuseMeter.Act, Int)] = [
        (.reset, 100), (.ping, 100), (.settings, 50), (.emptyFrame, 100), (.priority, 100), (.windowUpdate, 1000),
        (.unknown, 1000),
    ]

    @Test("as many are allowed in a second, and not one more", arguments: limits)
    func limit(act: AbuseMeter.Act, limit: Int) {
        var meter = AbuseMeter()
        #expect(Self.allowed(&meter, act, limit, at: Self.at(0)) == limit)
        #expect(meter.allows(act, at: Self.at(0)) == false)
        #expect(meter.allows(act, at: Self.at(999)) == false)
        // A second later it begins anew, and each act has a count of its own.
        #expect(Self.allowed(&meter, act, limit + 10, at: Self.at(1000)) == limit)
        for (other, most) in Self.limits where other != act {
            #expect(Self.allowed(&meter, other, most + 10, at: Self.at(1000)) == most)
        }
    }

    @Test("the table above has every act")
    func complete() { #expect(Self.limits.map(\.0) == AbuseMeter.Act.allCases) }

    @Test("DATA that was sent earns a PING and four updates, however late they come")
    func earned() {
        var meter = AbuseMeter()
        for _ in 0..<50 { meter.sentData() }
        #expect(Self.allowed(&meter, .ping, 1000, at: Self.at(60_000)) == 150)
        #expect(Self.allowed(&meter, .windowUpdate, 2000, at: Self.at(60_000)) == 1200)
        // Used up, they do not come again.
        #expect(Self.allowed(&meter, .ping, 1000, at: Self.at(61_000)) == 100)
        #expect(Self.allowed(&meter, .windowUpdate, 2000, at: Self.at(61_000)) == 1000)
    }

    @Test("what was earned in one second and not used is there in the next")
    func survives() {
        var meter = AbuseMeter()
        for _ in 0..<10 { meter.sentData() }
        #expect(Self.allowed(&meter, .ping, 4, at: Self.at(0)) == 4)
        #expect(Self.allowed(&meter, .ping, 1000, at: Self.at(5000)) == 106)
    }

    @Test("DATA earns nothing else", arguments: limits.filter { $0.0 != .ping && $0.0 != .windowUpdate })
    func earnsNothingElse(act: AbuseMeter.Act, limit: Int) {
        var meter = AbuseMeter()
        for _ in 0..<1000 { meter.sentData() }
        #expect(Self.allowed(&meter, act, limit + 10, at: Self.at(0)) == limit)
    }

    @Test("no peer can earn without end")
    func bounded() {
        var meter = AbuseMeter()
        for _ in 0..<30_000 { meter.sentData() }
        #expect(Self.allowed(&meter, .ping, 2000, at: Self.at(0)) == 1100)
        #expect(Self.allowed(&meter, .windowUpdate, 110_000, at: Self.at(0)) == 101_000)
    }

    @Test("resets that tell of an attack are counted for the life of a connection, each kind for itself")
    func resets() {
        var meter = AbuseMeter()
        for _ in 0..<500 where !meter.allowsUnansweredReset() || !meter.allowsForcedReset() {
            Issue.record("refused too early")
        }
        #expect(meter.allowsUnansweredReset() == false)
        #expect(meter.allowsForcedReset() == false)
        var other = AbuseMeter()
        for _ in 0..<501 { _ = other.allowsForcedReset() }
        #expect(other.allowsUnansweredReset() == true)
    }
}
