// SPDX-License-Identifier: Apache-2.0
// request path

/// A map from host names and patterns of them to values that is looked up by bytes: external hosts, virtual hosts.
///
/// A pattern is a name, or has a `*` at one end that stands for at least one byte, or is `*`. The letter case of ASCII
/// does not count. A pattern is compared with all that is looked up: whoever wants the port to count writes it into both,
/// and whoever does not takes it off, as a dot at the end of a name.
///
/// - Source: the domain search of Envoy's virtual hosts; egress rules of the original.
package struct HostTable<Value: Sendable>: Sendable {
    private var exact = HostPatterns()
    private var suffixes = HostPatterns()
    private var prefixes = HostPatterns()
    private var any: Int32 = -1
    private var values: [Value] = []

    /// A table of `entries`; of two with the same pattern the first one counts.
    ///
    /// Cost: linear in the patterns.
    package init(_ entries: [(pattern: String, value: Value)] = []) {
        self.values.reserveCapacity(entries.count)
        for (pattern, value) in entries {
            let index = Int32(truncatingIfNeeded: self.values.count)
            let bytes = pattern.utf8.map(\.lowercased)
            if bytes == [UInt8(ascii: "*")] {
                guard self.any < 0 else { continue }
                self.any = index
            } else if bytes.first == UInt8(ascii: "*") {
                guard self.suffixes.add(Array(bytes.dropFirst()), index, .backwards) else { continue }
            } else if bytes.last == UInt8(ascii: "*") {
                guard self.prefixes.add(Array(bytes.dropLast()), index, .forwards) else { continue }
            } else {
                guard self.exact.add(bytes, index, .backwards) else { continue }
            }
            self.values.append(value)
        }
        self.exact.finish()
        self.suffixes.finish()
        self.prefixes.finish()
    }

    /// Whether there is nothing to find.
    package var isEmpty: Bool { self.values.isEmpty }

    /// How many patterns there are.
    package var count: Int { self.values.count }

    /// The value for `host`: of its name, else of the longest pattern that begins with `*`, else of the longest that ends
    /// with it, else of `*`.
    ///
    /// Cost: one or two passes over the bytes, whatever the number of patterns; no allocation.
    package func value(for host: RawSpan) -> Value? {
        let index = self.index(for: host)
        return index < 0 ? nil : self.values[index]
    }

    private func index(for host: RawSpan) -> Int {
        let count = host.byteCount
        var found: Int32 = -1
        var hash = HostPatterns.Hash()
        // From the end, one byte more each time: all suffixes on the way to the whole name.
        for length in 0..<count {
            if self.suffixes.hasLength(length) {
                let longer = self.suffixes.find(hash, host.extracting((count - length)..<count))
                if longer >= 0 { found = longer }
            }
            hash.add(host.byte(at: count - 1 - length))
        }
        let whole = self.exact.hasLength(count) ? self.exact.find(hash, host) : -1
        if whole >= 0 { return Int(whole) }
        if found >= 0 { return Int(found) }
        guard !self.prefixes.isEmpty else { return Int(self.any) }
        hash = HostPatterns.Hash()
        for length in 0..<count {
            if self.prefixes.hasLength(length) {
                let longer = self.prefixes.find(hash, host.extracting(0..<length))
                if longer >= 0 { found = longer }
            }
            hash.add(host.byte(at: length))
        }
        return Int(found >= 0 ? found : self.any)
    }
}

/// The patterns of one kind, without their stars.
private struct HostPatterns: Sendable {
    enum Direction { case forwards, backwards }

    /// FNV-1a over bytes in lower case.
    ///
    /// The patterns are the configuration's, not a client's, so nobody can choose them to collide.
    struct Hash {
        private var value: UInt32 = 0x811c_9dc5

        @inline(__always)
        mutating func add(_ byte: UInt8) { self.value = (self.value ^ UInt32(byte.lowercased)) &* 0x0100_0193 }

        @inline(__always)
        var slot: Int { Int(self.value ^ self.value >> 15) }
    }

    private struct Entry: Sendable {
        let bytes: [UInt8]
        let hash: Int
        let index: Int32
    }

    /// Indices into `entries` by hash, as many as a power of two; -1 is free.
    private var slots: [Int32] = []
    private var entries: [Entry] = []
    /// Whether a pattern has so many bytes.
    private var lengths: [Bool] = []

    var isEmpty: Bool { self.entries.isEmpty }

    /// Returns: `false` when it is there already.
    mutating func add(_ bytes: [UInt8], _ index: Int32, _ direction: Direction) -> Bool {
        var hash = Hash()
        for place in bytes.indices { hash.add(bytes[direction == .forwards ? place : bytes.count - 1 - place]) }
        if (self.entries.count + 1) * 2 > self.slots.count { self.grow() }
        guard self.find(hash, bytes.rawSpan) < 0 else { return false }
        self.entries.append(Entry(bytes: bytes, hash: hash.slot, index: index))
        self.occupy(self.entries.count - 1)
        while self.lengths.count <= bytes.count { self.lengths.append(false) }
        self.lengths[bytes.count] = true
        return true
    }

    /// No more patterns come.
    mutating func finish() { if self.slots.isEmpty { self.slots = [-1] } }

    private mutating func grow() {
        self.slots = Array(repeating: -1, count: max(8, self.slots.count * 2))
        for entry in self.entries.indices { self.occupy(entry) }
    }

    private mutating func occupy(_ entry: Int) {
        let mask = self.slots.count - 1
        var slot = self.entries[entry].hash & mask
        while self.slots[slot] >= 0 { slot = (slot + 1) & mask }
        self.slots[slot] = Int32(truncatingIfNeeded: entry)
    }

    @inline(__always)
    func hasLength(_ length: Int) -> Bool { length < self.lengths.count && self.lengths[length] }

    /// The index of the pattern that `bytes` spell, whose hash is known; -1 when there is none.
    @inline(__always)
    func find(_ hash: Hash, _ bytes: RawSpan) -> Int32 {
        let mask = self.slots.count - 1
        var slot = hash.slot & mask
        while self.slots[slot] >= 0 {
            let place = Int(self.slots[slot])
            if self.entries[place].hash == hash.slot, Self.isEqual(self.entries[place].bytes, bytes) {
                return self.entries[place].index
            }
            slot = (slot + 1) & mask
        }
        return -1
    }

    private static func isEqual(_ pattern: [UInt8], _ bytes: RawSpan) -> Bool {
        guard pattern.count == bytes.byteCount else { return false }
        for index in pattern.indices where pattern[index] != bytes.byte(at: index).lowercased { return false }
        return true
    }
}
