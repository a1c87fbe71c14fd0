// SPDX-License-Identifier: Apache-2.0
// request path

import BasicContainers
import Common

/// A field of a table: where it is, and what need not be found out again.
struct HPACKEntry {
    /// Where its line begins: `name: value` and CRLF, as ``HeaderBlock`` has them, so that using it is one copy.
    var start: UInt32
    var nameLength: UInt16
    /// ``HPACKName/pseudo``, unless it is an ordinary field.
    var pseudo: HPACKPseudo
    var name: HeaderName
    var valueLength: UInt32
    /// Whether name and value may stand in a message at all.
    var isValid: Bool

    @inline(__always)
    var nameRange: Range<Int> { Int(self.start)..<Int(self.start) &+ Int(self.nameLength) }

    @inline(__always)
    var valueRange: Range<Int> {
        let start = Int(self.start) &+ Int(self.nameLength) &+ 2
        return start..<start &+ Int(self.valueLength)
    }

    @inline(__always)
    var lineRange: Range<Int> {
        Int(self.start)..<Int(self.start) &+ Int(self.nameLength) &+ Int(self.valueLength) &+ 4
    }

    /// What it counts for.
    ///
    /// - Source: RFC 7541 §4.1.
    @inline(__always)
    var size: Int { Int(self.nameLength) &+ Int(self.valueLength) &+ 32 }
}

/// The fields whose names begin with a colon.
///
/// - Source: RFC 9113 §8.3.
enum HPACKPseudo: UInt8 {
    /// An ordinary field.
    case none
    case method
    case scheme
    case path
    case authority
    case status
    /// One that nobody knows.
    case unknown

    /// By a name that begins with a colon.
    init(_ name: RawSpan) {
        self =
            switch name.byteCount {
            case 5: name.isEqual(to: ":path") ? .path : .unknown
            case 7:
                name.isEqual(to: ":method")
                    ? .method : name.isEqual(to: ":scheme") ? .scheme : name.isEqual(to: ":status") ? .status : .unknown
            case 10: name.isEqual(to: ":authority") ? .authority : .unknown
            default: .unknown
            }
    }
}

extension RawSpan {
    /// Whether the bytes are those of `text`.
    fileprivate func isEqual(to text: StaticString) -> Bool {
        self.isEqual(to: unsafe RawSpan(_unsafeStart: text.utf8Start, byteCount: text.utf8CodeUnitCount))
    }
}

/// The fields that every HPACK table begins with.
///
/// - Source: RFC 7541 appendix A.
final class HPACKStaticTable: Sendable {
    /// The table of everybody; see ``HuffmanDecoder/shared``.
    static let shared = HPACKStaticTable()

    static var count: Int { 61 }

    /// The index of `accept-encoding: gzip, deflate`, the one ordinary field that has a value.
    static var acceptEncoding: Int { 16 }
    /// The index of the name `date`.
    static var date: Int { 33 }

    let bytes: [UInt8]
    /// At their indices; the first, which is none, is empty.
    let entries: [HPACKEntry]
    /// Indices by the hashes of their names; 0 where there is none.
    private let byName: [UInt8]

    private init() {
        var bytes: [UInt8] = []
        var entries: [HPACKEntry] = []
        for (name, value) in [("", "")] + Self.fields {
            let start = bytes.count
            bytes += Array("\(name): \(value)\r\n".utf8)
            let nameBytes = Array(name.utf8)
            entries.append(
                HPACKEntry(
                    start: UInt32(start), nameLength: UInt16(nameBytes.count),
                    pseudo: name.hasPrefix(":") ? HPACKPseudo(nameBytes.rawSpan) : .none,
                    name: HeaderName(nameBytes.rawSpan, at: 0, count: nameBytes.count),
                    valueLength: UInt32(value.utf8.count), isValid: !name.isEmpty))
        }
        self.bytes = bytes
        self.entries = entries
        var byName = [UInt8](repeating: 0, count: 256)
        for index in 1...Self.count where index == 1 || Self.fields[index - 1].0 != Self.fields[index - 2].0 {
            var place = Int(HPACKHash.of(bytes.rawSpan.extracting(entries[index].nameRange)) & 255)
            while byName[place] != 0 { place = (place + 1) & 255 }
            byName[place] = UInt8(index)
        }
        self.byName = byName
    }

    /// The first index whose field has this name; 0 when there is none.
    ///
    /// - Parameter hash: ``HPACKHash/of(_:_:)`` of the name.
    func index(ofName name: RawSpan, hash: UInt32) -> Int {
        var place = Int(hash & 255)
        let bytes = self.bytes
        while self.byName[place] != 0 {
            let index = Int(self.byName[place])
            if bytes.rawSpan.extracting(self.entries[index].nameRange).isEqual(to: name) { return index }
            place = (place &+ 1) & 255
        }
        return 0
    }

    private static let fields: [(String, String)] = [
        (":authority", ""), (":method", "GET"), (":method", "POST"), (":path", "/"), (":path", "/index.html"),
        (":scheme", "http"), (":scheme", "https"), (":status", "200"), (":status", "204"), (":status", "206"),
        (":status", "304"), (":status", "400"), (":status", "404"), (":status", "500"), ("accept-charset", ""),
        ("accept-encoding", "gzip, deflate"), ("accept-language", ""), ("accept-ranges", ""), ("accept", ""),
        ("access-control-allow-origin", ""), ("age", ""), ("allow", ""), ("authorization", ""), ("cache-control", ""),
        ("content-disposition", ""), ("content-encoding", ""), ("content-language", ""), ("content-length", ""),
        ("content-location", ""), ("content-range", ""), ("content-type", ""), ("cookie", ""), ("date", ""),
        ("etag", ""), ("expect", ""), ("expires", ""), ("from", ""), ("host", ""), ("if-match", ""),
        ("if-modified-since", ""), ("if-none-match", ""), ("if-range", ""), ("if-unmodified-since", ""),
        ("last-modified", ""), ("link", ""), ("location", ""), ("max-forwards", ""), ("proxy-authenticate", ""),
        ("proxy-authorization", ""), ("range", ""), ("referer", ""), ("refresh", ""), ("retry-after", ""),
        ("server", ""), ("set-cookie", ""), ("strict-transport-security", ""), ("transfer-encoding", ""),
        ("user-agent", ""), ("vary", ""), ("via", ""), ("www-authenticate", ""),
    ]
}

/// A hash that is good enough for tables of at most some hundred fields, whose every hit is compared.
enum HPACKHash {
    /// Of `bytes`, continuing from `seed`.
    @inline(__always)
    static func of(_ bytes: RawSpan, _ seed: UInt32 = 0) -> UInt32 {
        let count = bytes.byteCount
        var hash = UInt64(seed) ^ UInt64(truncatingIfNeeded: count) &* 0x9e37_79b9_7f4a_7c15
        var index = 0
        while index &+ 8 <= count {
            hash = (hash ^ bytes.word(at: index)) &* 0xff51_afd7_ed55_8ccd
            hash ^= hash &>> 32
            index &+= 8
        }
        var tail: UInt64 = 0
        if count >= 8 {
            tail = bytes.word(at: count &- 8)  // some bytes twice: cheaper than one by one
        } else {
            while index < count {
                tail = tail &<< 8 | UInt64(bytes.byte(at: index))
                index &+= 1
            }
        }
        hash = (hash ^ tail) &* 0xc4ce_b9fe_1a85_ec53
        return UInt32(truncatingIfNeeded: hash ^ hash &>> 29)
    }
}

/// The dynamic table of one direction of a connection: a queue of fields, bounded by their size.
///
/// - Source: RFC 7541 §2.3 and §4.
struct HPACKTable: ~Copyable {
    /// More than fit into the largest table, since each counts for 32 bytes at least.
    static var places: Int { 128 }
    /// The largest table that mesher keeps, in either direction.
    static var largest: Int { 4096 }

    /// The lines, oldest first.
    private var bytes = UniqueArray<UInt8>()
    private var entries: [HPACKEntry]
    /// How many fields there are.
    private(set) var count = 0
    /// How many there ever were.
    private(set) var insertions = 0
    private var size = 0
    /// What the table may hold.
    private(set) var limit: Int

    init(limit: Int = HPACKTable.largest) {
        self.limit = min(limit, Self.largest)
        let none = HPACKEntry(start: 0, nameLength: 0, pseudo: .none, name: .other, valueLength: 0, isValid: false)
        self.entries = Array(repeating: none, count: Self.places)
    }

    /// The field that was put in as the `number`-th, counted from 0; it must still be there.
    @inline(__always)
    func entry(number: Int) -> HPACKEntry { self.entries[number & (Self.places - 1)] }

    /// The field at `index`, 0 being the newest; `nil` when there is none.
    @inline(__always)
    func entry(at index: Int) -> HPACKEntry? {
        index >= 0 && index < self.count ? self.entry(number: self.insertions &- 1 &- index) : nil
    }

    /// Whether the `number`-th field is still there.
    @inline(__always)
    func holds(number: Int) -> Bool { number >= self.insertions &- self.count && number < self.insertions }

    /// Whether the `number`-th field, which must still be there, is this one.
    @inline(__always)
    func matches(number: Int, _ name: RawSpan, _ value: RawSpan) -> Bool {
        let entry = self.entry(number: number)
        let span = self.span
        return span.extracting(entry.valueRange).isEqual(to: value)
            && span.extracting(entry.nameRange).isEqual(to: name)
    }

    /// Appends the bytes of `range` to `line`.
    func copy(_ range: Range<Int>, to line: inout UniqueArray<UInt8>) { line.append(self.span.extracting(range)) }

    /// The bytes that ranges of entries are in.
    var span: RawSpan {
        @_lifetime(borrow self)
        borrowing get { unsafe self.bytes.span.bytes }
    }

    /// Lets go of fields until they fit.
    mutating func setLimit(_ limit: Int) {
        self.limit = min(max(0, limit), Self.largest)
        self.evict(toFit: 0)
    }

    /// Puts a field in; one that is too large empties the table and stays out.
    ///
    /// - Parameter entry: Its place is filled in here.
    /// - Returns: Whether it is in.
    @discardableResult
    mutating func insert(_ line: RawSpan, _ entry: HPACKEntry) -> Bool {
        self.evict(toFit: entry.size)
        guard entry.size <= self.limit else { return false }
        if self.bytes.count &+ line.byteCount > 2 * Self.largest { self.compact() }
        var entry = entry
        entry.start = UInt32(truncatingIfNeeded: self.bytes.count)
        self.bytes.append(line)
        self.entries[self.insertions & (Self.places - 1)] = entry
        self.insertions &+= 1
        self.count &+= 1
        self.size &+= entry.size
        return true
    }

    private mutating func evict(toFit room: Int) {
        while self.count > 0, self.size &+ room > self.limit {
            self.size &-= self.entry(number: self.insertions &- self.count).size
            self.count &-= 1
        }
    }

    /// Moves what is left to the beginning.
    private mutating func compact() {
        guard self.count > 0 else {
            self.bytes.removeAll(keepingCapacity: true)
            return
        }
        let gone = self.entry(number: self.insertions &- self.count).start
        self.bytes.removeSubrange(0..<Int(gone))
        for number in self.insertions &- self.count..<self.insertions {
            self.entries[number & (Self.places - 1)].start &-= gone
        }
    }
}

extension UniqueArray where Element == UInt8 {
    /// Appends a copy of `bytes`.
    @inline(__always)
    mutating func append(_ bytes: RawSpan) { self.append(copying: unsafe bytes._unsafeView(as: UInt8.self)) }

    /// All of the bytes.
    var rawSpan: RawSpan {
        @_lifetime(borrow self)
        borrowing get { unsafe self.span.bytes }  // unsafe for types with padding only
    }
}
