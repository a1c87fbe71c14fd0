// SPDX-License-Identifier: Apache-2.0
// request path

/// A map from names to values that is looked up by bytes, so that no `String` is made of what a client sent.
///
/// Built when a snapshot is made and never changed. A name is found in its exact spelling first, then in any letter case
/// when only one name matches so: many clients lower-case host names, and the names of services are case-sensitive.
package struct NameTable<Value: Sendable>: Sendable {
    private struct Entry: Sendable {
        let name: [UInt8]
        let value: Value
    }

    /// Indices into `entries`, by hash of the lower-cased name; -1 is free.
    ///
    /// Its count is a power of two.
    private let slots: [Int32]
    private let entries: [Entry]

    /// A table of `values` by name.
    package init(_ values: [String: Value]) {
        let entries = values.sorted { $0.key < $1.key }.map { Entry(name: Array($0.key.utf8), value: $0.value) }
        var size = 8
        while size < entries.count * 2 { size *= 2 }
        var slots = [Int32](repeating: -1, count: size)
        for (index, entry) in entries.enumerated() {
            var slot = Self.hash(entry.name.rawSpan) & (size - 1)
            while slots[slot] >= 0 { slot = (slot + 1) & (size - 1) }
            slots[slot] = Int32(truncatingIfNeeded: index)
        }
        self.slots = slots
        self.entries = entries
    }

    /// The value of the name that `bytes` spell.
    ///
    /// Cost: one pass over the bytes, no allocation.
    ///
    /// - Returns: `nil` when there is none, or when several names differ from it in letter case only.
    package func value(named bytes: RawSpan) -> Value? {
        let mask = self.slots.count - 1
        var slot = Self.hash(bytes) & mask
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

    /// The value of the name that `bytes` spell exactly.
    package func value(spelled bytes: RawSpan) -> Value? {
        let mask = self.slots.count - 1
        var slot = Self.hash(bytes) & mask
        while self.slots[slot] >= 0 {
            let entry = self.entries[Int(self.slots[slot])]
            if case .equal = Self.compare(entry.name, bytes) { return entry.value }
            slot = (slot + 1) & mask
        }
        return nil
    }

    /// The value of `name`; off the request path.
    package subscript(name: String) -> Value? { self.value(named: Array(name.utf8).rawSpan) }

    /// All values, in the order of their names.
    package var values: [Value] { self.entries.map(\.value) }

    private enum Comparison { case equal, equalButForCase, different }

    private static func compare(_ name: [UInt8], _ bytes: RawSpan) -> Comparison {
        guard name.count == bytes.byteCount else { return .different }
        var result = Comparison.equal
        for index in 0..<name.count where name[index] != bytes.byte(at: index) {
            guard name[index].lowercased == bytes.byte(at: index).lowercased else { return .different }
            result = .equalButForCase
        }
        return result
    }

    /// FNV-1a over the lower-cased bytes; never negative.
    ///
    /// The names are the registry's, not a client's, so nobody can choose them to collide.
    private static func hash(_ bytes: RawSpan) -> Int {
        var hash: UInt32 = 0x811c_9dc5
        for index in 0..<bytes.byteCount {
            hash = (hash ^ UInt32(bytes.byte(at: index).lowercased)) &* 0x0100_0193
        }
        return Int(hash ^ hash >> 15)
    }
}
