// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// A small number that a name has as long as somebody holds it: event loops keep what they know of a service in an array.
///
/// Numbers are used again, so an array of them is as long as the most names that there were at a time.
final class Slot: Sendable {
    private struct Key: Hashable {
        let name: String
        let kind: Service.Kind
    }

    private struct Holder {
        let number: Int
        weak let slot: Slot?
    }

    private struct Table {
        var holders: [Key: Holder] = [:]
        var free: [Int] = []
        var count = 0
    }

    private static let table = Mutex(Table())

    let number: Int
    private let key: Key

    private init(_ number: Int, _ key: Key) {
        self.number = number
        self.key = key
    }

    /// The slot of a name: the one that somebody holds, or a free one.
    static func of(_ name: String, _ kind: Service.Kind) -> Slot {
        let key = Key(name: name, kind: kind)
        return Self.table.withLock { table in
            if let slot = table.holders[key]?.slot { return slot }
            var number = table.count
            if let free = table.free.popLast() { number = free } else { table.count += 1 }
            let slot = Slot(number, key)
            table.holders[key] = Holder(number: number, slot: slot)
            return slot
        }
    }

    deinit {
        let (key, number) = (self.key, self.number)
        Self.table.withLock { table in
            // Its name may have another one by now.
            if table.holders[key]?.number == number { table.holders[key] = nil }
            table.free.append(number)
        }
    }
}
