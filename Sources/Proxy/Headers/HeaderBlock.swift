// SPDX-License-Identifier: Apache-2.0
// request path

import BasicContainers
import Common

/// The headers of one message, of either protocol: its bytes, and a table that says where each field is.
///
/// The bytes hold the start line as it came, then one `Name: value CRLF` line a field. The HTTP/1.1 scanner copies the
/// head in as it was received; an HTTP/2 decoder writes its fields in the same form. Stages read and edit fields through
/// the table and never see a protocol. An edit is recorded, not applied: removing marks a field, adding appends a line
/// after the last one, and ``write(to:)`` copies what is left in as few runs as possible.
///
/// Not copyable, since its buffers are reused from one message to the next: see ``Worker``.
package struct HeaderBlock: ~Copyable {
    /// The start line and all lines, removed ones included.
    var bytes = UniqueArray<UInt8>()
    var fields = UniqueArray<HeaderField>()
    /// One bit for each known name that may be present; a clear bit means certainly absent.
    var present: UInt64 = 0
    /// How many marks what is removed now lies behind, and one; see ``mark()``.
    var level: UInt8 = 1

    /// An empty block.
    package init() {}

    /// How many fields the table has, removed ones included.
    var count: Int { self.fields.count }

    var span: RawSpan {
        @_lifetime(borrow self)
        borrowing get { unsafe self.bytes.span.bytes }  // unsafe for types with padding only
    }

    // MARK: Filling

    /// Forgets everything and keeps the memory, unless a large head made it unusually big.
    package mutating func clear() {
        self.bytes.removeAll(keepingCapacity: self.bytes.capacity <= 16 * 1024)
        self.fields.removeAll(keepingCapacity: self.fields.capacity <= 256)
        self.present = 0
        self.level = 1
    }

    /// Everything that is in it, which is empty and without memory afterwards.
    @inline(__always)
    mutating func take() -> HeaderBlock {
        var taken = HeaderBlock()
        swap(&taken, &self)
        return taken
    }

    /// Takes the bytes of a scanned head; the fields must have been added with offsets into them.
    @inline(__always)
    mutating func setBytes(_ head: RawSpan) {
        self.bytes.removeAll(keepingCapacity: true)
        self.appendBytes(head)
    }

    /// Adds a field whose line is, or will be, in the bytes.
    @inline(__always)
    mutating func add(_ field: HeaderField) {
        self.fields.append(field)
        self.present |= field.name.bit
    }

    mutating func appendBytes(_ bytes: RawSpan) {
        // Room for what stages will add as well.
        self.bytes.reserveCapacity(self.bytes.count + bytes.byteCount + 256)
        self.bytes.append(copying: unsafe bytes._unsafeView(as: UInt8.self))
    }

    mutating func appendBytes(_ text: StaticString) {
        self.appendBytes(unsafe RawSpan(_unsafeStart: text.utf8Start, byteCount: text.utf8CodeUnitCount))
    }

    // MARK: Reading

    /// Whether a field of this name is there.
    @inline(__always)
    package func contains(_ name: HeaderName) -> Bool {
        self.present & name.bit != 0 && self.firstIndex(of: name) != nil
    }

    /// Whether none of the fields whose bits are set in `names` is there, without looking at the table.
    @inline(__always)
    func hasNone(of names: UInt64) -> Bool { self.present & names == 0 }

    /// Whether no field whose bit is set in `names` is there twice.
    func hasEachOnce(_ names: UInt64) -> Bool {
        var seen: UInt64 = 0
        for index in 0..<self.count where self.fields[index].name.bit & names != 0 && !self.fields[index].isRemoved {
            let bit = self.fields[index].name.bit
            if seen & bit != 0 { return false }
            seen |= bit
        }
        return true
    }

    /// The first field of this name; `nil` when there is none.
    package func firstIndex(of name: HeaderName) -> Int? {
        guard self.present & name.bit != 0 else { return nil }
        for index in 0..<self.count where self.fields[index].name == name && !self.fields[index].isRemoved {
            return index
        }
        return nil
    }

    /// The first field whose name is `lowercased`, in any letter case; `nil` when there is none.
    ///
    /// For names that are no ``HeaderName`` of their own: those of rules and configuration.
    package func firstIndex(ofLowercased name: [UInt8]) -> Int? {
        self.firstIndex(ofLowercased: name, in: 0..<name.count)
    }

    /// The same for a name that stands in `range` of `text`.
    ///
    /// - Parameter start: The first field that is looked at.
    func firstIndex(ofLowercased text: [UInt8], in range: Range<Int>, from start: Int = 0) -> Int? {
        var next = start
        while next < self.count {
            let index = next
            next &+= 1
            let field = self.fields[index]
            if !field.isRemoved, Int(field.nameLength) == range.count,
                Self.isEqual(self.span, Int(field.start), text, range)
            {
                return index
            }
        }
        return nil
    }

    /// Calls `body` with the value of the field at `index`.
    @inline(__always)
    package func withValue<Result>(at index: Int, _ body: (RawSpan) -> Result) -> Result {
        body(self.span.extracting(self.fields[index].value.range))
    }

    /// Whether the value of the field at `index` is what stands in `range`, byte by byte.
    func value(at index: Int, equals range: ByteRange) -> Bool {
        let value = self.fields[index].value
        guard value.count == range.count else { return false }
        let span = self.span
        for offset in 0..<range.count
        where span.byte(at: Int(value.lower) + offset) != span.byte(at: Int(range.lower) + offset) {
            return false
        }
        return true
    }

    /// Calls `body` with the bytes of `range`, such as the path of the start line.
    @inline(__always)
    package func withBytes<Result>(in range: ByteRange, _ body: (RawSpan) -> Result) -> Result {
        body(self.span.extracting(range.range))
    }

    /// Calls `body` with each element of the comma-separated lists in the fields of this name, until it returns `false`.
    ///
    /// - Source: RFC 9110 §5.6.1.
    package func forEachElement(of name: HeaderName, _ body: (RawSpan) -> Bool) {
        guard self.present & name.bit != 0 else { return }
        for index in 0..<self.count where self.fields[index].name == name && !self.fields[index].isRemoved {
            var tokens = ListTokens(self.fields[index].value.range)
            while let token = tokens.next(self.span) {
                guard body(self.span.extracting(token)) else { return }
            }
        }
    }

    /// The value of the first field of this name.
    ///
    /// Allocates: for fields that are rare, and for logs.
    package func string(of name: HeaderName) -> String? {
        guard let index = self.firstIndex(of: name) else { return nil }
        return self.span.string(in: self.fields[index].value.range)
    }

    /// The bytes of `range` as text.
    ///
    /// Allocates.
    package func string(in range: ByteRange) -> String { self.span.string(in: range.range) }

    /// All fields that are left, in order.
    ///
    /// Allocates: for tests and logs.
    package var lines: [(name: String, value: String)] {
        (0..<self.count).compactMap { index in
            let field = self.fields[index]
            guard !field.isRemoved else { return nil }
            let span = self.span
            return (span.string(in: field.nameRange), span.string(in: field.value.range))
        }
    }

    /// Appends the bytes of `range` to `out`, `limit` of them at most; nothing where the block has no such bytes.
    ///
    /// - Returns: How many they were.
    func append(_ range: ByteRange, limit: Int, to out: inout [UInt8]) -> Int {
        guard range.range.upperBound <= self.bytes.count else { return 0 }
        let count = min(range.count, limit)
        let start = range.range.lowerBound
        self.span.append(start..<start + count, to: &out)
        return count
    }

    // MARK: Editing

    /// Removes all fields of this name.
    package mutating func remove(_ name: HeaderName) {
        guard self.present & name.bit != 0 else { return }
        self.present &= ~name.bit
        for index in 0..<self.count where self.fields[index].name == name { self.removeField(at: index) }
    }

    /// Removes the hop-by-hop fields: the fixed list, and those that `Connection` names.
    ///
    /// `Connection` cannot remove what delimits or directs the message, nor the marks of the way that it has come, nor what
    /// mesher sets itself, which is added later.
    ///
    /// - Source: RFC 9110 §7.6.1.
    package mutating func removeHopByHop() {
        guard self.present & HeaderName.hopByHop != 0 else { return }
        if self.present & HeaderName.connection.bit != 0 { self.removeFieldsNamedByConnection() }
        for index in 0..<self.count where self.fields[index].name.isHopByHop { self.removeField(at: index) }
        self.present &= ~HeaderName.hopByHop
    }

    private mutating func removeFieldsNamedByConnection() {
        for index in 0..<self.count where self.fields[index].name == .connection {
            var tokens = ListTokens(self.fields[index].value.range)
            while let token = tokens.next(self.span) { self.removeFields(namedLike: token) }
        }
    }

    private mutating func removeFields(namedLike token: Range<Int>) {
        let known = HeaderName(self.span, at: token.lowerBound, count: token.count)
        switch known {
        case .host, .contentLength, .contentType, .transferEncoding, .connection, .expect, .meshHop: return
        case .other, .aliasOfClaim:  // names that more than one field has
            for index in 0..<self.count where self.fields[index].name == known {
                let name = self.fields[index].nameRange
                if Self.isEqualIgnoringCase(self.span, name, token) {
                    self.removeField(at: index)
                }
            }
        default: self.remove(known)
        }
    }

    /// Adds a field whose line was made when configuration was read.
    package mutating func append(_ line: HeaderLine) {
        let start = self.bytes.count
        self.appendBytes(line.bytes.rawSpan)
        self.add(
            HeaderField(
                start: UInt32(truncatingIfNeeded: start),
                value: ByteRange(start + line.nameLength + 2, self.bytes.count - 2),
                end: UInt32(truncatingIfNeeded: self.bytes.count),
                nameLength: UInt16(truncatingIfNeeded: line.nameLength), name: line.name))
    }

    /// Makes `line`, whose name must be a known one, the only field of its name: over one whose value is as long, where
    /// there is one, and behind all others otherwise.
    ///
    /// - Returns: Where its value begins.
    mutating func set(_ line: HeaderLine) -> Int {
        let length = line.bytes.count - line.nameLength - 4
        var value: Int?
        if self.present & line.name.bit != 0 {
            for index in 0..<self.count where self.fields[index].name == line.name && !self.fields[index].isRemoved {
                if value == nil, self.fields[index].value.count == length {
                    value = Int(self.fields[index].value.lower)
                } else {
                    self.removeField(at: index)
                }
            }
        }
        guard let value else {
            self.append(line)
            return self.bytes.count - length - 2
        }
        self.overwrite(line.bytes.rawSpan.extracting(line.nameLength + 2..<line.nameLength + 2 + length), at: value)
        return value
    }

    /// Writes eight bytes, the lowest one first, over what stands at `offset`.
    @inline(__always)
    mutating func overwrite(_ word: UInt64, at offset: Int) {
        var span = self.bytes.mutableSpan
        var bytes = unsafe span.mutableBytes  // unsafe for types with padding only
        bytes.storeBytes(of: word.littleEndian, toByteOffset: offset, as: UInt64.self)
    }

    private mutating func overwrite(_ value: RawSpan, at offset: Int) {
        var index = 0
        while index + 8 <= value.byteCount {
            self.overwrite(value.word(at: index), at: offset + index)
            index += 8
        }
        while index < value.byteCount {
            self.bytes[offset + index] = value.byte(at: index)
            index += 1
        }
    }

    /// Adds a field whose value is a part of this very block, such as a host or a port.
    package mutating func append(_ name: HeaderName, _ spelling: StaticString, valueFrom range: ByteRange) {
        let start = self.beginLine(spelling)
        let value = self.bytes.count
        for index in range.range { self.bytes.append(self.bytes[index]) }
        self.endLine(start: start, value: value, nameLength: spelling.utf8CodeUnitCount, name: name)
    }

    /// Adds a field whose value `write` appends to ``bytes``, a few bytes without a line break.
    @inline(__always)
    mutating func append(_ name: HeaderName, _ spelling: StaticString, _ write: (inout UniqueArray<UInt8>) -> Void) {
        let start = self.beginLine(spelling)
        let value = self.bytes.count
        write(&self.bytes)
        self.endLine(start: start, value: value, nameLength: spelling.utf8CodeUnitCount, name: name)
    }

    /// Adds a field from text.
    package mutating func append(_ name: HeaderName, _ spelling: StaticString, _ value: String) {
        let start = self.beginLine(spelling)
        let valueStart = self.bytes.count
        self.appendBytes(Array(value.utf8).rawSpan)
        self.endLine(start: start, value: valueStart, nameLength: spelling.utf8CodeUnitCount, name: name)
    }

    private mutating func beginLine(_ spelling: StaticString) -> Int {
        let start = self.bytes.count
        self.appendBytes(spelling)
        self.appendBytes(": ")
        return start
    }

    private mutating func endLine(start: Int, value: Int, nameLength: Int, name: HeaderName) {
        let valueEnd = self.bytes.count
        self.appendBytes("\r\n")
        self.add(
            HeaderField(
                start: UInt32(truncatingIfNeeded: start), value: ByteRange(value, valueEnd),
                end: UInt32(truncatingIfNeeded: self.bytes.count),
                nameLength: UInt16(truncatingIfNeeded: nameLength), name: name))
    }

    // MARK: Writing

    /// At most this many bytes come out of ``write(to:)``, and of the start line with it.
    var writtenBound: Int { self.bytes.count }

    /// Appends the lines that are left to `out`, without the blank line that ends a head.
    ///
    /// Cost: one copy for each run of neighbouring lines.
    func write(to out: inout OutputRawSpan) {
        var runStart = 0
        var runEnd = 0
        for index in 0..<self.fields.count {
            if self.fields[index].isRemoved { continue }
            let start = Int(self.fields[index].start)
            if start != runEnd {
                if runEnd > runStart { out.append(self.span.extracting(runStart..<runEnd)) }
                runStart = start
            }
            runEnd = Int(self.fields[index].end)
        }
        if runEnd > runStart { out.append(self.span.extracting(runStart..<runEnd)) }
    }

    /// Appends the bytes of `range` to `out`.
    @inline(__always)
    func copy(_ range: Range<Int>, to out: inout OutputRawSpan) { out.append(self.span.extracting(range)) }

    // MARK: Comparing

    @inline(__always)
    static func isEqual(_ span: RawSpan, _ start: Int, _ lowercased: [UInt8], _ range: Range<Int>) -> Bool {
        var offset = start
        for index in range {
            if span.byte(at: offset).lowercased != lowercased[index] { return false }
            offset &+= 1
        }
        return true
    }

    private static func isEqualIgnoringCase(_ span: RawSpan, _ left: Range<Int>, _ right: Range<Int>) -> Bool {
        guard left.count == right.count else { return false }
        var other = right.lowerBound
        for offset in left {
            if span.byte(at: offset).lowercased != span.byte(at: other).lowercased { return false }
            other &+= 1
        }
        return true
    }
}
