// SPDX-License-Identifier: Apache-2.0
// request path

import Common

/// Encodes the header blocks of one direction of a connection.
///
/// Pure.
///
/// A field enters the table when it is seen for the second time, so values that change with every message never push out
/// those that do not. Texts go out as they are: the Huffman code would save bytes and cost time on both sides.
///
/// - Source: RFC 7541; its §7.1 for what is never indexed.
package struct HPACKEncoder: ~Copyable {
    private var table: HPACKTable
    private let fixed = HPACKStaticTable.shared
    private let fixedBytes = HPACKStaticTable.shared.bytes
    /// The hashes of the table's fields, by their places.
    private var hashes = [UInt32](repeating: 0, count: HPACKTable.places)
    /// Which field was put in last, by the low bits of its hash; -1 for none.
    private var numbers = [Int](repeating: -1, count: Self.buckets)
    /// Hashes of fields that were seen and not put in.
    private var seen = [UInt32](repeating: 0, count: Self.buckets)
    /// New sizes of the table, which the peer must be told with the next block: the smallest one since the last block,
    /// since the peer's table was emptied to that, and the one that holds now.
    private var newLimits: (smallest: Int, last: Int)?

    private static var buckets: Int { 512 }

    /// An encoder for a peer that has said nothing about its table yet: 4096 bytes.
    package init() { self.table = HPACKTable() }

    /// The peer's table may hold this much.
    package mutating func setLimit(_ limit: Int) {
        let limit = min(limit, HPACKTable.largest)
        guard limit != self.table.limit else { return }
        self.table.setLimit(limit)
        self.newLimits = (min(self.newLimits?.smallest ?? limit, limit), limit)
    }

    /// Bytes that a field can get beyond its line, and a block beyond its fields.
    static var additions: Int { 16 }

    /// Begins a block.
    ///
    /// - Source: RFC 7541 §4.2 for two changes between blocks.
    mutating func begin(_ out: inout OutputRawSpan) {
        guard let limits = self.newLimits.take() else { return }
        if limits.smallest < limits.last { Self.write(limits.smallest, prefix: 5, 0x20, &out) }
        Self.write(limits.last, prefix: 5, 0x20, &out)
    }

    // MARK: Pseudo-header fields

    /// Appends `:method`.
    @inline(__always)
    mutating func method(_ method: HTTPMethod, _ name: RawSpan, _ out: inout OutputRawSpan) {
        switch method {
        case .get: out.append(0x80 | 2)
        case .post: out.append(0x80 | 3)
        default: self.pseudo(.method, 2, name, &out)
        }
    }

    /// Appends `:scheme`.
    @inline(__always)
    mutating func scheme(isSecure: Bool, _ out: inout OutputRawSpan) { out.append(isSecure ? 0x80 | 7 : 0x80 | 6) }

    /// Appends `:path`.
    @inline(__always)
    mutating func path(_ path: RawSpan, _ out: inout OutputRawSpan) { self.pseudo(.path, 4, path, &out) }

    /// Appends `:authority`.
    @inline(__always)
    mutating func authority(_ authority: RawSpan, _ out: inout OutputRawSpan) {
        self.pseudo(.authority, 1, authority, &out)
    }

    /// Appends `:status`.
    mutating func status(_ status: Int, _ out: inout OutputRawSpan) {
        switch status {
        case 200: out.append(0x80 | 8)
        case 204: out.append(0x80 | 9)
        case 206: out.append(0x80 | 10)
        case 304: out.append(0x80 | 11)
        case 400: out.append(0x80 | 12)
        case 404: out.append(0x80 | 13)
        case 500: out.append(0x80 | 14)
        default:
            out.append(8)  // without indexing, by the name of :status
            out.append(3)
            out.append(UInt8(truncatingIfNeeded: 0x30 &+ status / 100 % 10))
            out.append(UInt8(truncatingIfNeeded: 0x30 &+ status / 10 % 10))
            out.append(UInt8(truncatingIfNeeded: 0x30 &+ status % 10))
        }
    }

    /// Appends `date`, as it is and into no table: looking for it there costs more than its 32 bytes.
    static func date(_ line: HeaderLine, _ out: inout OutputRawSpan) {
        let value = line.nameLength &+ 2..<line.bytes.count &- 2
        Self.literal(
            0, prefix: 4, HPACKStaticTable.date, line.bytes.rawSpan, line.bytes.rawSpan.extracting(value), &out)
    }

    private mutating func pseudo(_ kind: HPACKPseudo, _ index: Int, _ value: RawSpan, _ out: inout OutputRawSpan) {
        let entry = self.fixed.entries[index]
        let bytes = self.fixedBytes
        if index == 4, value.isEqual(to: bytes.rawSpan.extracting(entry.valueRange)) {
            Self.write(index, prefix: 7, 0x80, &out)
            return
        }
        self.field(
            bytes.rawSpan.extracting(entry.nameRange), value, index, UInt32(kind.rawValue), mayIndex: true,
            isNeverIndexed: false, &out)
    }

    // MARK: Fields

    /// Appends an ordinary field whose name has no upper-case letter.
    ///
    /// - Parameter isSecret: Whether nobody may keep it in a table.
    /// - Parameter changes: Whether it is not worth a place there.
    @inline(__always)
    mutating func field(
        _ name: RawSpan, _ value: RawSpan, isSecret: Bool, changes: Bool = false, _ out: inout OutputRawSpan
    ) {
        self.field(
            name, value, nil, HPACKHash.of(name), mayIndex: !isSecret && !changes, isNeverIndexed: isSecret, &out)
    }

    /// - Parameter index: Of the name in the fixed table; `nil` when it has to be looked for.
    /// - Parameter nameHash: Of the name.
    @inline(__always)
    private mutating func field(
        _ name: RawSpan, _ value: RawSpan, _ index: Int?, _ nameHash: UInt32, mayIndex: Bool, isNeverIndexed: Bool,
        _ out: inout OutputRawSpan
    ) {
        guard mayIndex else {
            let index = index ?? self.fixed.index(ofName: name, hash: nameHash)
            Self.literal(isNeverIndexed ? 0x10 : 0, prefix: 4, index, name, value, &out)
            return
        }
        let hash = HPACKHash.of(value, nameHash)
        let bucket = Int(hash & UInt32(Self.buckets - 1))
        let number = self.numbers[bucket]
        if self.table.holds(number: number), self.hashes[number & (HPACKTable.places - 1)] == hash {
            if self.table.matches(number: number, name, value) {
                Self.write(
                    HPACKStaticTable.count &+ self.table.insertions &- number, prefix: 7, 0x80, &out)
                return
            }
        }
        let known = index ?? self.fixed.index(ofName: name, hash: nameHash)
        if known == HPACKStaticTable.acceptEncoding,
            value.isEqual(to: self.fixedBytes.rawSpan.extracting(self.fixed.entries[known].valueRange))
        {
            Self.write(known, prefix: 7, 0x80, &out)
            return
        }
        let isLarge = name.byteCount &+ value.byteCount &+ 32 > self.table.limit / 4
        guard self.seen[bucket] == hash, !isLarge else {
            self.seen[bucket] = hash
            Self.literal(0, prefix: 4, known, name, value, &out)
            return
        }
        self.insert(name, value, hash, bucket)
        Self.literal(0x40, prefix: 6, known, name, value, &out)
    }

    private mutating func insert(_ name: RawSpan, _ value: RawSpan, _ hash: UInt32, _ bucket: Int) {
        var line: [UInt8] = []
        line.reserveCapacity(name.byteCount + value.byteCount + 4)
        for index in 0..<name.byteCount { line.append(name.byte(at: index)) }
        line.append(.colon)
        line.append(.space)
        for index in 0..<value.byteCount { line.append(value.byte(at: index)) }
        line.append(.carriageReturn)
        line.append(.lineFeed)
        let number = self.table.insertions
        let entry = HPACKEntry(
            start: 0, nameLength: UInt16(truncatingIfNeeded: name.byteCount), pseudo: .none, name: .other,
            valueLength: UInt32(truncatingIfNeeded: value.byteCount), isValid: true)
        guard self.table.insert(line.rawSpan, entry) else { return }
        self.hashes[number & (HPACKTable.places - 1)] = hash
        self.numbers[bucket] = number
    }

    @inline(__always)
    private static func literal(
        _ first: UInt8, prefix: Int, _ index: Int, _ name: RawSpan, _ value: RawSpan, _ out: inout OutputRawSpan
    ) {
        Self.write(index, prefix: prefix, first, &out)
        if index == 0 {
            Self.write(name.byteCount, prefix: 7, 0, &out)
            out.append(name)
        }
        Self.write(value.byteCount, prefix: 7, 0, &out)
        out.append(value)
    }

    /// Appends an integer whose first bits share a byte with `first`.
    ///
    /// - Source: RFC 7541 §5.1.
    @inline(__always)
    static func write(_ value: Int, prefix: Int, _ first: UInt8, _ out: inout OutputRawSpan) {
        let mask = 1 &<< prefix &- 1
        if value < mask {
            out.append(first | UInt8(truncatingIfNeeded: value))
            return
        }
        out.append(first | UInt8(truncatingIfNeeded: mask))
        var rest = value &- mask
        while rest >= 128 {
            out.append(UInt8(truncatingIfNeeded: rest & 0x7f | 0x80))
            rest = rest &>> 7
        }
        out.append(UInt8(truncatingIfNeeded: rest))
    }
}
