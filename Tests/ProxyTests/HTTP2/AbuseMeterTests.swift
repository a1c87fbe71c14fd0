// SPDX-License-Identifier: Apache-2.0

import NIOCore
import Testing

@testable import Proxy

/// What a peer may do that costs more than it is worth.
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
        (.ping, 100), (.settings, 50), (.emptyFrame, 100), (.priority, 100), (.windowUpdate, 1000), (.unknown, 1000),
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

    // MARK: Resets

    /// Begins streams evenly for some seconds, and resets or answers each at once.
    ///
    /// - Parameter isReset: By the number of the stream.
    /// - Returns: The number of the reset that was refused; `nil` when none was.
    private static func run(
        perSecond: Int, seconds: Int, resetting isReset: (Int) -> Bool
    ) -> Int? {
        var meter = AbuseMeter()
        var resets = 0
        for stream in 0..<perSecond * seconds {
            let now = Self.at(Int64(stream * 1000 / perSecond))
            meter.streamBegan(at: now)
            guard isReset(stream) else {
                meter.answered()
                continue
            }
            resets += 1
            guard meter.allowsReset(at: now), meter.allowsUnansweredReset(at: now) else { return resets }
        }
        return nil
    }

    @Test(
        "a client that cancels a part of its calls lives for ever, however many they become",
        arguments: [(1000, 1), (1000, 100), (1000, 300), (3000, 450), (50, 300), (20, 1000)])
    func cancels(perSecond: Int, perMille: Int) {
        let refused = Self.run(perSecond: perSecond, seconds: 1000) { $0 * 617 % 1000 < perMille }
        #expect(refused == nil)
    }

    @Test("a client that resets every stream is stopped soon", arguments: [(100_000, 101), (1000, 101), (150, 101)])
    func rapidReset(perSecond: Int, most: Int) throws {
        let refused = try #require(Self.run(perSecond: perSecond, seconds: 100) { _ in true })
        #expect(refused <= most + 50)
    }

    @Test("and one that stays below the limit of a second, when it has got nothing for it", arguments: [90, 60, 40])
    func slowReset(perSecond: Int) throws {
        let refused = try #require(Self.run(perSecond: perSecond, seconds: 100) { _ in true })
        #expect(refused <= 1000)
    }

    @Test("an attack that begins after hours of good behaviour is stopped as soon")
    func lateAttack() throws {
        let refused = try #require(Self.run(perSecond: 200, seconds: 3700) { $0 >= 200 * 3600 })
        #expect(refused <= 700)
    }

    @Test("streams that were begun in one second may be cancelled in the next")
    func acrossSeconds() {
        var meter = AbuseMeter()
        for _ in 0..<300 { meter.streamBegan(at: Self.at(950)) }
        var count = 0
        while count < 1000, meter.allowsReset(at: Self.at(1960)) { count += 1 }
        #expect(count == 150)
        // A second without any lies between.
        var other = AbuseMeter()
        for _ in 0..<300 { other.streamBegan(at: Self.at(950)) }
        count = 0
        while count < 1000, other.allowsReset(at: Self.at(3000)) { count += 1 }
        #expect(count == 100)
    }

    @Test("resets that the peer forces count by the same measures, and for themselves")
    func forced() {
        var meter = AbuseMeter()
        var count = 0
        while count < 1000, meter.allowsForcedReset(at: Self.at(0)) { count += 1 }
        #expect(count == 100)
        var slow = AbuseMeter()
        count = 0
        while count < 5000, slow.allowsForcedReset(at: Self.at(Int64(count * 12))) { count += 1 }
        #expect((500...1000).contains(count))
        #expect(slow.allowsReset(at: Self.at(Int64(count * 12))) == true)
        var answering = AbuseMeter()
        count = 0
        for call in 0..<100_000 {
            let now = Self.at(Int64(call))
            answering.streamBegan(at: now)
            if call % 3 == 0 {
                if answering.allowsForcedReset(at: now) { count += 1 }
            } else {
                answering.answered()
            }
        }
        #expect(count == 33_334)
    }
}
