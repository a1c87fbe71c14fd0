// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import NIOPosix
import TestSupport
import Testing

@testable import Proxy

@Suite struct MaglevTableTests {
    private static func members(_ count: Int) -> [String] { (0..<count).map { "10.0.\($0 / 250).\($0 % 250):8080" } }

    private static func even(_ count: Int) -> [Double] { Array(repeating: 1, count: count) }

    private static let keys = (0..<20_000).map { key in
        let bytes = Array("user-\(key)".utf8)
        return HashRing.hash(bytes.rawSpan)
    }

    private static func pick(_ table: MaglevTable, _ key: UInt64) -> Int? { table.pick(key) { _ in true } }

    @Test("takes none of none, and the only one of one")
    func few() {
        #expect(Self.pick(MaglevTable([], parts: []), 7) == nil)
        #expect(Self.pick(MaglevTable(["a"], parts: [0]), 7) == nil)
        #expect(Self.pick(MaglevTable(["a"], parts: [1], size: 2), .max) == 0)
    }

    @Test("gives every member its part of the places, within one of them in a hundred", arguments: [2, 3, 50])
    func parts(count: Int) {
        let parts = (0..<count).map { Double($0 % 3 + 1) }
        let table = MaglevTable(Self.members(count), parts: parts)
        let size = MaglevTable.usualSize
        var place: UInt64 = 0
        let tally = tally(count, picks: size) {
            defer { place += 1 }
            return Self.pick(table, place)
        }
        let sum = parts.reduce(0, +)
        for (found, part) in zip(tally, parts) {
            #expect(abs(Double(found) / (Double(size) * part / sum) - 1) < 0.01, "\(tally)")
        }
    }

    @Test("moves the keys of the member that leaves, and hardly any others", arguments: [3, 50])
    func leaving(count: Int) {
        let members = Self.members(count)
        let before = MaglevTable(members, parts: Self.even(count))
        let after = MaglevTable(Array(members.dropFirst()), parts: Self.even(count - 1))
        var (own, others) = (0, 0)
        for key in Self.keys {
            let (old, new) = (Self.pick(before, key), Self.pick(after, key).map { $0 + 1 })
            if old == 0 { own += 1 } else if old != new { others += 1 }
            // One that is not eligible is passed over, and nothing else moves.
            let passed = before.pick(key) { $0 != 0 }
            #expect(old == 0 ? passed != nil && passed != 0 : passed == old)
        }
        #expect(abs(Double(own) * Double(count) / Double(Self.keys.count) - 1) < 0.15)
        #expect(others < Self.keys.count / 20, "\(others)")
    }

    @Test("what an ineligible member has is spread over all others")
    func spread() {
        let table = MaglevTable(Self.members(5), parts: Self.even(5))
        var keys = Self.keys.makeIterator()
        let tally = tally(5, picks: Self.keys.count) {
            keys.next().flatMap { key in Self.pick(table, key) == 0 ? table.pick(key) { $0 != 0 } : nil }
        }
        let mean = Double(tally.reduce(0, +)) / 4
        #expect(tally[0] == 0 && tally.dropFirst().allSatisfy { abs(Double($0) / mean - 1) < 0.2 }, "\(tally)")
    }

    @Test("depends on the names and parts, not on their order")
    func order() {
        let members = Self.members(10)
        let parts = (0..<10).map { Double($0 + 1) }
        let (one, other) = (
            MaglevTable(members, parts: parts), MaglevTable(members.reversed(), parts: parts.reversed())
        )
        #expect(Self.keys.prefix(1_000).allSatisfy { Self.pick(one, $0) == Self.pick(other, $0).map { 9 - $0 } })
    }

    @Test("is made off the loops; the first one is waited for, and until the next one is there the last one goes on")
    func shared() async throws {
        let endpoints = try (1...9).map { try Endpoint("rest://10.0.0.\($0):8080") }
        func layout(_ count: Int) -> HashLayout { .maglev(size: MaglevTable.usualSize, parts: Self.even(count)) }
        let rings = SharedRings()
        let first = rings.ring(of: endpoints, layout(9), at: 0)
        #expect(first.interim == nil)
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        try await first.whenMade(on: loop).get()
        let table = try #require(first.table)
        try await first.whenMade(on: loop).get()
        let next = rings.ring(of: Array(endpoints.dropFirst(2)), layout(7), at: 0)
        // It is there before the next one, or was.
        if let interim = next.interim {
            for key in Self.keys.prefix(500) {
                let old = table.pick(key) { $0 >= 2 }
                #expect(interim.pick(key) { _ in true } == old.map { $0 - 2 })
            }
        }
        #expect(await eventually { next.table != nil })
        #expect(next.interim == nil)
    }
}
