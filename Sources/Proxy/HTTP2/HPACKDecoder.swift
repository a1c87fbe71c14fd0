// SPDX-License-Identifier: Apache-2.0
// request path

import BasicContainers
import Common

/// Decodes the header blocks of one direction of a connection into ``HeaderBlock``s.
///
/// Pure.
///
/// Whatever is wrong with a field, the block is read to its end, so that the table stays in step with that of the peer.
///
/// - Source: RFC 7541; RFC 9113 §8.2 for what a field may be.
package struct HPACKDecoder: ~Copyable {
    /// How a block ended.
    package enum Result: Equatable {
        case complete
        /// A field that no message may have, or pseudo-header fields in the wrong place: the message is malformed.
        case malformed
        /// Larger than allowed; the block holds some of the fields.
        case tooLarge
        /// So much larger that nobody means it; the rest of the block was not read.
        case bomb
        /// The block makes no sense, and so does nothing after it: COMPRESSION_ERROR.
        case broken
    }

    private var table = HPACKTable()
    private let fixedEntries = HPACKStaticTable.shared.entries
    private let fixedBytes = HPACKStaticTable.shared.bytes
    private let huffman = HuffmanDecoder.shared
    /// The line of a field that came as text.
    private var line = UniqueArray<UInt8>()
    /// Which limit the last block was too large for that was.
    package private(set) var excess = HeadViolation.tooLarge

    /// A decoder for a connection on which nothing was said about the table's size: 4096 bytes.
    package init() {}

    /// What is found out on the way through a block.
    private struct Progress {
        var listSize = 0
        var fields = 0
        /// Whether a cookie was counted: they become one field.
        var hasCookie = false
        var isMalformed = false
        /// Which limit was met first.
        var excess: HeadViolation?
        var hasOrdinary = false
    }

    /// Decodes `input`, a whole block.
    ///
    /// - Parameter block: Receives the ordinary fields, and the bytes of the others. Must be cleared.
    /// - Parameter pseudo: Receives the places of the pseudo-header fields.
    package mutating func decode(
        _ input: RawSpan, limits: HeadLimits, into block: inout HeaderBlock, _ pseudo: inout PseudoFields
    ) -> Result {
        var progress = Progress()
        var offset = 0
        var mayResize = true
        while offset < input.byteCount {
            let first = input.byte(at: offset)
            if first & 0x80 != 0 {
                guard let index = Self.integer(input, &offset, prefix: 7), index > 0,
                    self.addIndexed(index, limits, &progress, &block, &pseudo)
                else { return .broken }
            } else if first & 0xe0 == 0x20 {
                // A change of the table's size: only at the beginning, and not above what was agreed.
                guard mayResize, let limit = Self.integer(input, &offset, prefix: 5), limit <= HPACKTable.largest
                else { return .broken }
                self.table.setLimit(limit)
                continue
            } else {
                guard self.addLiteral(first, input, &offset, limits, &progress, &block, &pseudo) else {
                    return .broken
                }
            }
            mayResize = false
            if progress.excess != nil, progress.listSize > Self.bomb(limits) { return .bomb }
        }
        if let excess = progress.excess {
            self.excess = excess
            return .tooLarge
        }
        return progress.isMalformed ? .malformed : .complete
    }

    /// The size that a block would have to be called a bomb: one octet of it may stand for 4 KiB.
    private static func bomb(_ limits: HeadLimits) -> Int { 4 &* max(limits.section, 60 &* 1024) }

    private mutating func addIndexed(
        _ index: Int, _ limits: HeadLimits, _ progress: inout Progress, _ block: inout HeaderBlock,
        _ pseudo: inout PseudoFields
    ) -> Bool {
        if index <= HPACKStaticTable.count {
            Self.add(self.fixedEntries[index], self.fixedBytes.rawSpan, false, limits, &progress, &block, &pseudo)
            return true
        }
        guard let entry = self.table.entry(at: index &- HPACKStaticTable.count &- 1) else { return false }
        Self.add(entry, self.table.span, false, limits, &progress, &block, &pseudo)
        return true
    }

    private mutating func addLiteral(
        _ first: UInt8, _ input: RawSpan, _ offset: inout Int, _ limits: HeadLimits, _ progress: inout Progress,
        _ block: inout HeaderBlock, _ pseudo: inout PseudoFields
    ) -> Bool {
        let isIndexed = first & 0xc0 == 0x40
        guard let index = Self.integer(input, &offset, prefix: isIndexed ? 6 : 4) else { return false }
        self.line.removeAll(keepingCapacity: self.line.capacity <= 16 * 1024)
        var entry = HPACKEntry(start: 0, nameLength: 0, pseudo: .none, name: .other, valueLength: 0, isValid: true)
        if index == 0 {
            guard self.appendText(input, &offset), self.readName(&entry) else { return false }
        } else {
            guard self.copyName(index, &entry) else { return false }
        }
        self.line.append(.colon)
        self.line.append(.space)
        let valueStart = self.line.count
        guard self.appendText(input, &offset) else { return false }
        entry.valueLength = UInt32(truncatingIfNeeded: self.line.count &- valueStart)
        if !Self.isValue(self.line.rawSpan.extracting(valueStart..<self.line.count)) { entry.isValid = false }
        self.line.append(.carriageReturn)
        self.line.append(.lineFeed)
        Self.add(entry, self.line.rawSpan, first & 0xf0 == 0x10, limits, &progress, &block, &pseudo)
        if isIndexed { Self.insert(self.line, entry, into: &self.table) }
        return true
    }

    private static func insert(
        _ line: borrowing UniqueArray<UInt8>, _ entry: HPACKEntry, into table: inout HPACKTable
    ) { table.insert(line.rawSpan, entry) }

    private static func copy(_ range: Range<Int>, of bytes: [UInt8], to line: inout UniqueArray<UInt8>) {
        line.append(bytes.rawSpan.extracting(range))
    }

    private func readName(_ entry: inout HPACKEntry) -> Bool {
        let name = self.line.rawSpan
        guard let length = UInt16(exactly: name.byteCount) else { return false }
        entry.nameLength = length
        if length > 0, name.byte(at: 0) == .colon {
            entry.pseudo = HPACKPseudo(name)
        } else {
            entry.isValid = Self.isName(name)
            entry.name = HeaderName(name, at: 0, count: Int(length))
        }
        return true
    }

    private mutating func copyName(_ index: Int, _ entry: inout HPACKEntry) -> Bool {
        let known: HPACKEntry
        if index <= HPACKStaticTable.count {
            known = self.fixedEntries[index]
            Self.copy(known.nameRange, of: self.fixedBytes, to: &self.line)
        } else {
            guard let found = self.table.entry(at: index &- HPACKStaticTable.count &- 1) else { return false }
            known = found
            self.table.copy(known.nameRange, to: &self.line)
        }
        entry.nameLength = known.nameLength
        entry.pseudo = known.pseudo
        entry.name = known.name
        // What was wrong may have been the value; the name is looked at again, which is rare.
        if !known.isValid, known.pseudo == .none { entry.isValid = Self.isName(self.line.rawSpan) }
        return true
    }

    /// Reads a string literal onto the line.
    ///
    /// - Source: RFC 7541 §5.2.
    private mutating func appendText(_ input: RawSpan, _ offset: inout Int) -> Bool {
        guard offset < input.byteCount else { return false }
        let isHuffman = input.byte(at: offset) & 0x80 != 0
        guard let length = Self.integer(input, &offset, prefix: 7), length <= input.byteCount &- offset else {
            return false
        }
        let text = input.extracting(offset..<offset &+ length)
        offset &+= length
        if isHuffman { return self.huffman.decode(text, into: &self.line) }
        self.line.append(text)
        return true
    }

    // MARK: Fields

    @inline(__always)
    private static func add(
        _ entry: HPACKEntry, _ bytes: RawSpan, _ isNeverIndexed: Bool, _ limits: HeadLimits,
        _ progress: inout Progress, _ block: inout HeaderBlock, _ pseudo: inout PseudoFields
    ) {
        progress.listSize &+= entry.size
        // Pseudo-header fields do not count as fields: they are the start line of HTTP/1.1. Of cookies the first does:
        // a client may send each by itself, and they are joined (RFC 9113 §8.2.3). What they take up counts in full.
        if entry.pseudo == .none, entry.name != .cookie || !progress.hasCookie {
            progress.fields &+= 1
            progress.hasCookie = progress.hasCookie || entry.name == .cookie
        }
        if progress.listSize > limits.section || progress.fields > limits.fields
            || entry.size > limits.field &+ 32
        {
            if progress.excess == nil {
                progress.excess =
                    entry.size > limits.field &+ 32
                    ? .fieldTooLong : progress.fields > limits.fields ? .tooManyFields : .tooLarge
            }
            return
        }
        if !entry.isValid {
            progress.isMalformed = true
            return
        }
        if entry.pseudo == .none {
            progress.hasOrdinary = true
            block.append(bytes.extracting(entry.lineRange), entry, isNeverIndexed: isNeverIndexed)
        } else if progress.hasOrdinary || !pseudo.take(entry, bytes, &block) {
            progress.isMalformed = true
        }
    }

    /// Whether `name` is a token without upper-case letters.
    ///
    /// - Source: RFC 9113 §8.2.1.
    private static func isName(_ name: RawSpan) -> Bool {
        guard name.byteCount > 0 else { return false }
        for index in 0..<name.byteCount where !name.byte(at: index).isLowercaseToken { return false }
        return true
    }

    /// Whether `value` holds no control character and no blank at either end.
    private static func isValue(_ value: RawSpan) -> Bool {
        let count = value.byteCount
        guard count > 0 else { return true }
        let ends = (value.byte(at: 0), value.byte(at: count &- 1))
        if ends.0 == .space || ends.0 == .tab || ends.1 == .space || ends.1 == .tab { return false }
        return HeadScanner.textEnd(value, from: 0) == count
    }

    /// Reads an integer whose first bits are the lowest `prefix` of the byte at `offset`.
    ///
    /// - Returns: `nil` when it is cut off or larger than any length could be.
    /// - Source: RFC 7541 §5.1.
    @inline(__always)
    static func integer(_ input: RawSpan, _ offset: inout Int, prefix: Int) -> Int? {
        let mask = 1 &<< prefix &- 1
        var value = Int(input.byte(at: offset)) & mask
        offset &+= 1
        if value < mask { return value }
        var shift = 0
        while offset < input.byteCount, shift <= 21 {
            let byte = Int(input.byte(at: offset))
            offset &+= 1
            value &+= (byte & 0x7f) &<< shift
            if byte & 0x80 == 0 { return value }
            shift &+= 7
        }
        return nil
    }
}

/// Where the pseudo-header fields of a head are in the bytes of its block.
package struct PseudoFields {
    var method = ByteRange()
    var scheme = ByteRange()
    var path = ByteRange()
    var authority = ByteRange()
    var status = ByteRange()
    private var seen: UInt8 = 0

    /// None yet.
    package init() {}

    /// Whether a field is there, be it empty.
    func has(_ pseudo: HPACKPseudo) -> Bool { self.seen & 1 &<< pseudo.rawValue != 0 }

    /// Whether there is any at all.
    package var isEmpty: Bool { self.seen == 0 }

    /// Takes a field.
    ///
    /// - Returns: `false` when it is not known, or there already.
    @inline(__always)
    mutating func take(_ entry: HPACKEntry, _ bytes: RawSpan, _ block: inout HeaderBlock) -> Bool {
        guard entry.pseudo != .unknown, !self.has(entry.pseudo) else { return false }
        self.seen |= 1 &<< entry.pseudo.rawValue
        let value = bytes.extracting(entry.valueRange)
        switch entry.pseudo {
        case .method: self.method = block.appendBare(value)
        case .scheme: self.scheme = block.appendBare(value)
        case .path: self.path = block.appendBare(value)
        // What HTTP/1.1 calls Host: everything else of mesher knows it by that name.
        case .authority: self.authority = block.appendHost(value)
        case .status: self.status = block.appendBare(value)
        case .none, .unknown: break
        }
        return true
    }
}
