// SPDX-License-Identifier: Apache-2.0

import Common
import TestSupport
import Testing

@testable import Proxy

@Suite struct HashRingTests {
    private static func members(_ count: Int) -> [String] { (0..<count).map { "10.0.\($0 / 250).\($0 % 250):8080" } }

    private static func hash(_ text: String) -> UInt64 {
        let bytes = Array(text.utf8)
        return HashRing.hash(bytes.rawSpan)
    }

    private static let keys = (0..<20_000).map { Self.hash("user-\($0)") }

    @Test("takes none of none, and the only one of one")
    func few() {
        #expect(HashRing([]).pick(7) == nil)
        let one = HashRing(["a"], pointsPerMember: 0)
        #expect([0, 7, .max].map { one.pick($0) } == [0, 0, 0])
    }

    @Test("gives every member about the same share of the keys", arguments: [2, 3, 50])
    func even(count: Int) {
        let ring = HashRing(Self.members(count))
        var keys = Self.keys.makeIterator()
        let tally = tally(count, picks: Self.keys.count) { keys.next().flatMap { ring.pick($0) } }
        let mean = Double(Self.keys.count) / Double(count)
        #expect(tally.allSatisfy { abs(Double($0) / mean - 1) < 0.35 })
    }

    @Test("moves the keys of the member that leaves, and no others", arguments: [2, 3, 50])
    func leaving(count: Int) {
        let members = Self.members(count)
        let (before, after) = (HashRing(members), HashRing(Array(members.dropFirst())))
        var moved = 0
        for key in Self.keys {
            let (old, new) = (before.pick(key), after.pick(key).map { $0 + 1 })
            if old == 0 { moved += 1 } else if old != new { Issue.record("\(key) moved") }
            // As if the member were still there, but not eligible.
            #expect(before.pick(key) { $0 != 0 } == new)
        }
        let mean = Double(Self.keys.count) / Double(count)
        #expect(abs(Double(moved) / mean - 1) < 0.35)
    }

    @Test("depends on the names, not on their order")
    func order() {
        let members = Self.members(10)
        let (one, other) = (HashRing(members), HashRing(members.reversed()))
        #expect(Self.keys.prefix(1_000).allSatisfy { one.pick($0) == other.pick($0).map { 9 - $0 } })
    }

    @Test("walks on to an eligible member, all the way round")
    func walk() {
        let ring = HashRing(Self.members(3))
        #expect(Self.keys.prefix(100).allSatisfy { ring.pick($0) { $0 == 2 } == 2 })
        #expect(ring.pick(.max) { $0 == 1 } == 1)
        #expect(ring.pick(7) { _ in false } == nil)
    }

    @Test("hashes texts that differ little to numbers that differ much")
    func hashing() {
        #expect(Set(Self.keys).count == Self.keys.count)
        let texts = ["", "\0", "\0\0", "a", "b", "ab", "ba", "aaaaaaaa", "aaaaaaaab", "aaaaaaaaaaaaaaaa", "12345678a"]
        #expect(Set(texts.map(Self.hash)).count == texts.count)
        var flipped = 0
        for bit in 0..<8 * 20 {
            var bytes = Array("a text of 20 bytes..".utf8)
            let before = HashRing.hash(bytes.rawSpan)
            bytes[bit / 8] ^= 1 << UInt8(bit % 8)
            flipped += (before ^ HashRing.hash(bytes.rawSpan)).nonzeroBitCount
        }
        #expect(30...34 ~= Double(flipped) / 160)
    }

    @Test("is the same ring whether made anew or out of another one", arguments: [0, 1, 2, 3, 50, 300])
    func difference(count: Int) {
        let members = Self.members(count + 3)
        let before = Array(members.prefix(count))
        for after in [members, Array(members.dropFirst(min(count, 2))), members.reversed(), []] {
            let places = before.map { Int32(after.firstIndex(of: $0) ?? -1) }
            let points = Array(repeating: Int32(HashRing.points), count: after.count)
            let made = HashRing(after, points: points, upon: HashRing(before), places: places)
            let anew = HashRing(after)
            #expect(Self.keys.prefix(2_000).allSatisfy { anew.pick($0) == made.pick($0) })
            #expect(Self.keys.prefix(200).allSatisfy { key in anew.pick(key) { $0 > 0 } == made.pick(key) { $0 > 0 } })
        }
    }

    @Test("picks the same member without a ring", arguments: [0, 1, 2, 50])
    func withoutRing(count: Int) {
        let members = Self.members(count)
        let ring = HashRing(members)
        let seeds = members.map { HashRing.seed(of: $0) }
        for key in Self.keys.prefix(200) {
            #expect(HashRing.pick(key, of: count, seed: { seeds[$0] }, where: { _ in true }) == ring.pick(key))
            let odd = HashRing.pick(key, of: count, seed: { seeds[$0] }, where: { $0 % 2 == 1 })
            #expect(odd == ring.pick(key) { $0 % 2 == 1 })
        }
    }

    @Test("gives a member with more points more of the keys, and one with none nothing")
    func weights() {
        let members = Self.members(3)
        let ring = HashRing(members, points: [160, 480, 0])
        var keys = Self.keys.makeIterator()
        let tally = tally(3, picks: Self.keys.count) { keys.next().flatMap { ring.pick($0) } }
        #expect(tally[2] == 0 && abs(Double(tally[1]) / Double(Self.keys.count) - 0.75) < 0.08, "\(tally)")
        let seeds = members.map { HashRing.seed(of: $0) }
        for key in Self.keys.prefix(500) {
            let found = HashRing.pick(key, of: 3, seed: { seeds[$0] }, points: { [160, 480, 0][$0] }) { _ in true }
            #expect(found == ring.pick(key))
        }
    }

    @Test(
        "has so many points that shares are even, as many as are asked for, and no more than may be",
        arguments: [
            ([1, 1], 0, 1 << 20, [160, 160]), ([1, 1], 1024, 1 << 20, [512, 512]), ([1, 1], 1024, 64, [32, 32]),
            ([0.5, 1.5], 1, 1 << 20, [80, 240]), ([0, 2], 1, 1 << 20, [0, 320]), ([0.001, 1.999], 1, 4, [1, 4]),
            ([1, 1, 1], 1, 2, [1, 1, 1]),
        ] as [([Double], Int, Int, [Int32])])
    func points(parts: [Double], least: Int, most: Int, expected: [Int32]) {
        #expect(HashLayout.ring(parts, least: least, most: most) == .ring(points: expected))
    }

    @Test("is made off the loops, once for all of them, and out of the one before it")
    func shared() async throws {
        let endpoints = try (1...20).map { try Endpoint("rest://10.0.0.\($0):8080") }
        func layout(_ count: Int, _ first: Int32 = 160) -> HashLayout {
            .ring(points: [first] + Array(repeating: 160, count: count - 1))
        }
        let rings = SharedRings()
        let first = rings.ring(of: endpoints, layout(20), at: 0)
        #expect(rings.ring(of: endpoints, layout(20), at: 0) === first)
        #expect(rings.ring(of: endpoints, layout(20), at: 1) !== first)
        #expect(await eventually { first.table != nil })
        let others = Array(endpoints.dropFirst(3)) + [try Endpoint("rest://10.0.1.1:8080")]
        for (members, points) in [(others, 160), (others, 320), (others + [endpoints[5]], 160)] as [([Endpoint], Int32)]
        {
            let next = rings.ring(of: members, layout(members.count, points), at: 0)
            #expect(await eventually { next.table != nil })
            let counts = [points] + Array(repeating: 160, count: members.count - 1)
            let anew = HashRing(members.map(\.description), points: counts)
            #expect(Self.keys.prefix(2_000).allSatisfy { key in next.table?.pick(key) { _ in true } == anew.pick(key) })
        }
    }
}
