// SPDX-License-Identifier: Apache-2.0
// request path

/// A map from names to values that is looked up by bytes, so that no `String` is made of what a client sent.
///
/// Built when a snapshot is made and never changed. A name is found in its exact spelling first, then in any letter case
/// when only one name matches so: many clients lower-case host names, and the names of services are case-sensitive.
///
/// The names lie in 64 shards. A table that is made upon another one has its shards, but for those in which something has
/// changed: what a change costs does not grow with the table.
package struct NameTable<Value: Sendable>: Sendable {
    /// The number of shards: a power of two.
    static var shardCount: Int { 64 }

    /// By hash of the lower-cased name.
    let shards: [NameShard<Value>]

    /// A table of `values` by name.
    package init(_ values: [String: Value] = [:]) {
        var entries = [[NameShard<Value>.Entry]](repeating: [], count: Self.shardCount)
        for (name, value) in values {
            let entry = NameShard.Entry(name, value)
            entries[Self.shard(of: entry.hash)].append(entry)
        }
        let empty = NameShard<Value>([])
        self.shards = entries.map { $0.isEmpty ? empty : NameShard($0) }
    }

    private init(_ shards: [NameShard<Value>]) { self.shards = shards }

    /// The table after these changes: a new value for a name, or `nil` for one that goes.
    package func updating(_ changes: [String: Value?]) -> NameTable {
        var edits: [Int: [NameShard<Value>.Entry]] = [:]
        for (name, value) in changes {
            let bytes = Array(name.utf8)
            let hash = Self.hash(bytes.rawSpan)
            let index = Self.shard(of: hash)
            var entries = edits[index] ?? self.shards[index].entries
            entries.removeAll { $0.name == bytes }
            if let value { entries.append(.init(bytes, hash, value)) }
            edits[index] = entries
        }
        var shards = self.shards
        for (index, entries) in edits { shards[index] = NameShard(entries) }
        return NameTable(shards)
    }

    /// All that the tables have; a name that several have is the first one's.
    ///
    /// - Parameter old: Tables that were merged before, and what became of them: shards that are the same are taken over.
    static func merging(_ tables: [NameTable], upon old: (tables: [NameTable], merged: NameTable)?) -> NameTable {
        let old = old.flatMap { $0.tables.count == tables.count ? $0 : nil }
        return NameTable(
            (0..<Self.shardCount).map { index in
                if let old, zip(old.tables, tables).allSatisfy({ $0.shards[index] === $1.shards[index] }) {
                    return old.merged.shards[index]
                }
                let filled = tables.map { $0.shards[index] }.filter { !$0.entries.isEmpty }
                guard filled.count > 1 else { return filled.first ?? tables[0].shards[index] }
                var entries = filled[0].entries
                for shard in filled.dropFirst() {
                    entries += shard.entries.filter { entry in !entries.contains { $0.name == entry.name } }
                }
                return NameShard(entries)
            })
    }

    /// The value of the name that `bytes` spell.
    ///
    /// Cost: one pass over the bytes, no allocation.
    ///
    /// - Returns: `nil` when there is none, or when several names differ from it in letter case only.
    package func value(named bytes: RawSpan) -> Value? {
        let hash = Self.hash(bytes)
        return self.shards[Self.shard(of: hash)].value(named: bytes, hash)
    }

    /// The value of the name that `bytes` spell exactly.
    package func value(spelled bytes: RawSpan) -> Value? {
        let hash = Self.hash(bytes)
        return self.shards[Self.shard(of: hash)].value(spelled: bytes, hash)
    }

    /// The value of `name`; off the request path.
    package subscript(name: String) -> Value? { self.value(named: Array(name.utf8).rawSpan) }

    /// The value of the name that is spelled so; off the request path.
    package subscript(spelled name: String) -> Value? { self.value(spelled: Array(name.utf8).rawSpan) }

    /// All values, in the order of their names.
    package var values: [Value] {
        self.shards.flatMap(\.entries).sorted { $0.name.lexicographicallyPrecedes($1.name) }.map(\.value)
    }

    /// How many names there are.
    package var count: Int { self.shards.reduce(0) { $0 + $1.entries.count } }

    /// Which of the shards holds the names of a hash; the rest of the hash chooses a slot there.
    @inline(__always)
    private static func shard(of hash: Int) -> Int { hash & (Self.shardCount - 1) }

    /// FNV-1a over the lower-cased bytes; never negative.
    ///
    /// The names are the registry's, not a client's, so nobody can choose them to collide.
    fileprivate static func hash(_ bytes: RawSpan) -> Int {
        var hash: UInt32 = 0x811c_9dc5
        for index in 0..<bytes.byteCount {
            hash = (hash ^ UInt32(bytes.byte(at: index).lowercased)) &* 0x0100_0193
        }
        return Int(hash ^ hash >> 15)
    }
}

extension NameTable where Value: AnyObject {
    /// A table of `values` by name; shards whose names and values are those of `old` are taken over.
    package init(_ values: [String: Value], upon old: NameTable) {
        let table = NameTable(values)
        self.init(zip(table.shards, old.shards).map { $0.holdsTheSame(as: $1) ? $1 : $0 })
    }

    /// Calls `body` with each name whose value is another one than in `old`, and both values.
    ///
    /// Cost: that of the shards in which something has changed.
    package func changes(since old: NameTable, _ body: (_ old: Value?, _ new: Value?) -> Void) {
        for (before, after) in zip(old.shards, self.shards) where before !== after {
            for entry in before.entries {
                let value = after.value(spelled: entry.name.rawSpan, entry.hash)
                if value !== entry.value { body(entry.value, value) }
            }
            for entry in after.entries where before.value(spelled: entry.name.rawSpan, entry.hash) == nil {
                body(nil, entry.value)
            }
        }
    }
}

/// The names of one shard.
final class NameShard<Value: Sendable>: Sendable {
    struct Entry: Sendable {
        let name: [UInt8]
        let hash: Int
        let value: Value

        init(_ name: [UInt8], _ hash: Int, _ value: Value) {
            self.name = name
            self.hash = hash
            self.value = value
        }

        init(_ name: String, _ value: Value) {
            let bytes = Array(name.utf8)
            self.init(bytes, NameTable<Value>.hash(bytes.rawSpan), value)
        }
    }

    private enum Comparison { case equal, equalButForCase, different }

    let entries: [Entry]
    /// Indices into `entries`; -1 is free.
    ///
    /// Their number is a power of two.
    private let slots: [Int32]

    init(_ entries: [Entry]) {
        var size = 2
        while size < entries.count * 2 { size *= 2 }
        var slots = [Int32](repeating: -1, count: size)
        for (index, entry) in entries.enumerated() {
            var slot = Self.slot(of: entry.hash) & (size - 1)
            while slots[slot] >= 0 { slot = (slot + 1) & (size - 1) }
            slots[slot] = Int32(truncatingIfNeeded: index)
        }
        self.entries = entries
        self.slots = slots
    }

    func value(named bytes: RawSpan, _ hash: Int) -> Value? {
        let mask = self.slots.count - 1
        var slot = Self.slot(of: hash) & mask
        var similar = -1
        var isAmbiguous = false
        while self.slots[slot] >= 0 {
            let index = Int(self.slots[slot])
            switch Self.compare(self.entries[index].name, bytes) {
            case .equal: return self.entries[index].value
            case .equalButForCase:
                isAmbiguous = similar >= 0
                similar = index
            case .different: break
            }
            slot = (slot + 1) & mask
        }
        return similar >= 0 && !isAmbiguous ? self.entries[similar].value : nil
    }

    func value(spelled bytes: RawSpan, _ hash: Int) -> Value? {
        let mask = self.slots.count - 1
        var slot = Self.slot(of: hash) & mask
        while self.slots[slot] >= 0 {
            let index = Int(self.slots[slot])
            if case .equal = Self.compare(self.entries[index].name, bytes) { return self.entries[index].value }
            slot = (slot + 1) & mask
        }
        return nil
    }

    private static func compare(_ name: [UInt8], _ bytes: RawSpan) -> Comparison {
        guard name.count == bytes.byteCount else { return .different }
        var result = Comparison.equal
        for index in 0..<name.count where name[index] != bytes.byte(at: index) {
            guard name[index].lowercased == bytes.byte(at: index).lowercased else { return .different }
            result = .equalButForCase
        }
        return result
    }

    /// The bits of a hash that have not chosen the shard.
    @inline(__always)
    private static func slot(of hash: Int) -> Int { hash >> NameTable<Value>.shardCount.trailingZeroBitCount }
}

extension NameShard where Value: AnyObject {
    /// Whether the names are the same, and their values the same objects.
    fileprivate func holdsTheSame(as other: NameShard) -> Bool {
        self.entries.count == other.entries.count
            && self.entries.allSatisfy { other.value(spelled: $0.name.rawSpan, $0.hash) === $0.value }
    }
}
