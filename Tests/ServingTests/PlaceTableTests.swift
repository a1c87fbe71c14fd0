// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Serving

@Suite struct PlaceTableTests {
    /// Three ordinary places, and one that is kept.
    private static func table() -> PlaceTable { PlaceTable(ServerLimits(places: 4, reserved: 1)) }

    private static func enter(_ table: inout PlaceTable) throws -> PlaceTable.Place {
        let place = table.enter()
        return try #require(place)
    }

    @Test("whoever comes gets an ordinary place, also that of who has been idle longest")
    func idle() throws {
        var table = Self.table()
        let ids = try (0..<3).map { _ in try Self.enter(&table).id }
        // The first has just been used.
        table.set(ids[0], isIdle: false)
        table.set(ids[0], isIdle: true)
        let place = try Self.enter(&table)
        #expect(place.evicted == ids[1] && !place.isReserved && table.count == 3)
    }

    @Test("while ordinary places are busy the others are given, likewise; then none")
    func busy() throws {
        var table = Self.table()
        for _ in 0..<3 { table.set(try Self.enter(&table).id, isIdle: false) }
        let first = try Self.enter(&table)
        #expect(first.isReserved && first.evicted == nil && table.count == 4)
        let second = try Self.enter(&table)
        #expect(second.isReserved && second.evicted == first.id && table.count == 4)
        table.set(second.id, isIdle: false)
        let third = table.enter()
        #expect(third == nil)
        table.leave(second.id)
        let fourth = try Self.enter(&table)
        #expect(fourth.isReserved)
    }

    @Test("a place is given back once")
    func leave() throws {
        var table = Self.table()
        let ids = try (0..<3).map { _ in try Self.enter(&table).id }
        table.leave(ids[0])
        table.leave(ids[0])
        table.set(ids[0], isIdle: true)
        #expect(table.count == 2)
        let first = try Self.enter(&table)
        #expect(first.evicted == nil)
        let second = try Self.enter(&table)
        #expect(second.evicted == ids[1])
    }
}
