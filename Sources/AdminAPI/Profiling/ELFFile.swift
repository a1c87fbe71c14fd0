// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials

/// The functions that an ELF file names: those of its symbol table, or of what it exports when that was stripped.
///
/// Nothing in the file is believed: every offset is checked, and what does not fit counts as absent.
///
/// - Source: System V ABI, "Object Files"; elf(5). 64 bits, little-endian.
struct ELFFile {
    private let bytes: Data
    private let segments: [Segment]
    private let symbols: Range<Int>
    private let strings: Range<Int>
    /// Whether only what it exports to others has names left.
    let isStripped: Bool
    /// What the linker has marked it with, and its file of symbols as well; empty when it has not.
    let buildID: [UInt8]

    /// A part of the file that is loaded into memory.
    private struct Segment {
        let fileOffset: UInt64
        let fileSize: UInt64
        let address: UInt64
    }

    /// A symbol that covers an address, while a better one may come.
    private struct Candidate {
        let address: UInt64
        let size: UInt64
        let isGlobal: Bool
        let name: UInt32

        /// The narrower one; of equals the one that other files see, whose name is the better known.
        func isBetter(than other: Candidate?) -> Bool {
            guard let other else { return true }
            if self.size != other.size { return self.size < other.size }
            return self.isGlobal && !other.isGlobal
        }
    }

    private static let headerSize = 64
    private static let symbolSize = 24
    /// How far behind a symbol without a size, as hand-written assembly has them, an address may be.
    private static let reach: UInt64 = 16 * 1024
    private static let longestName = 64 * 1024

    /// Reads where the tables are.
    ///
    /// Cost: a few pages of the file, if `bytes` are mapped.
    ///
    /// - Returns: `nil` when it is no such file, or names nothing.
    init?(_ bytes: Data) {
        let bytes = bytes.startIndex == 0 ? bytes : Data(bytes)
        guard
            bytes.count >= Self.headerSize, bytes.prefix(4) == Data([0x7f, 0x45, 0x4c, 0x46]),
            bytes[4] == 2, bytes[5] == 1
        else { return nil }
        let reader = Reader(bytes)
        self.bytes = bytes
        self.segments = Self.segments(reader)
        guard let tables = Self.symbolTables(reader) else { return nil }
        self.symbols = tables.symbols
        self.strings = tables.strings
        self.isStripped = tables.isStripped
        self.buildID = Self.buildID(reader)
    }

    /// The address that the file itself gives to the byte at `offset`; `nil` when it is never loaded.
    func address(ofByteAt offset: UInt64) -> UInt64? {
        for segment in self.segments where offset >= segment.fileOffset {
            let distance = offset - segment.fileOffset
            if distance < segment.fileSize { return segment.address &+ distance }
        }
        return nil
    }

    /// The mangled names of the functions at `addresses`, which are those of `address(ofByteAt:)`.
    ///
    /// Cost: one pass over the symbols, some ten milliseconds for 300,000; nothing is built that lasts.
    func names(at addresses: some Sequence<UInt64>) -> [UInt64: String] {
        let wanted = Set(addresses).sorted()
        guard let first = wanted.first, let last = wanted.last else { return [:] }
        var found = [Candidate?](repeating: nil, count: wanted.count)
        var sizeless: [Candidate] = []
        let reader = Reader(self.bytes)
        for place in stride(from: self.symbols.lowerBound, to: self.symbols.upperBound, by: Self.symbolSize) {
            guard let symbol = Self.function(reader, at: place), symbol.address <= last else { continue }
            if symbol.size == 0 {
                sizeless.append(symbol)
                continue
            }
            guard symbol.address >= first || first - symbol.address < symbol.size else { continue }
            var index = Self.firstIndex(in: wanted, notBelow: symbol.address)
            while index < wanted.count, wanted[index] - symbol.address < symbol.size {
                if symbol.isBetter(than: found[index]) { found[index] = symbol }
                index += 1
            }
        }
        sizeless.sort { ($0.address, $0.isGlobal ? 1 : 0) < ($1.address, $1.isGlobal ? 1 : 0) }
        let starts = sizeless.map(\.address)
        var names: [UInt64: String] = [:]
        for (address, candidate) in zip(wanted, found) {
            var candidate = candidate
            if candidate == nil, address < .max {
                let next = Self.firstIndex(in: starts, notBelow: address + 1)
                if next > 0, address - starts[next - 1] < Self.reach { candidate = sizeless[next - 1] }
            }
            guard let candidate, let name = self.string(at: candidate.name) else { continue }
            names[address] = name
        }
        return names
    }

    /// The first index whose value is `bound` or more.
    private static func firstIndex(in sorted: [UInt64], notBelow bound: UInt64) -> Int {
        var low = 0
        var high = sorted.count
        while low < high {
            let middle = low + (high - low) / 2
            if sorted[middle] < bound { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// The symbol at `place`, when it is a function, or code without a type as in assembly.
    private static func function(_ reader: Reader, at place: Int) -> Candidate? {
        guard
            let info = reader.load(place + 4, as: UInt8.self), let section = reader.load(place + 6, as: UInt16.self),
            let name = reader.load(place, as: UInt32.self), let address = reader.load(place + 8, as: UInt64.self),
            let size = reader.load(place + 16, as: UInt64.self)
        else { return nil }
        let type = info & 15
        // STT_FUNC, STT_GNU_IFUNC, STT_NOTYPE; in a section of the file, not undefined, absolute or common.
        guard type == 2 || type == 10 || type == 0, section != 0, section < 0xff00, name != 0 else { return nil }
        return Candidate(address: address, size: size, isGlobal: info >> 4 != 0, name: name)
    }

    private func string(at offset: UInt32) -> String? {
        guard self.strings.count > Int(offset) else { return nil }
        let start = self.strings.lowerBound + Int(offset)
        let rest = self.bytes[start..<self.strings.upperBound].prefix(Self.longestName)
        guard let end = rest.firstIndex(of: 0), end > rest.startIndex else { return nil }
        // "$x", "$d": marks between code and data on arm64.
        let name = String(decoding: rest[rest.startIndex..<end], as: UTF8.self)
        return name.hasPrefix("$") && name.utf8.count < 4 ? nil : name
    }

    private static func segments(_ reader: Reader) -> [Segment] {
        guard
            let table = reader.load(32, as: UInt64.self), let size = reader.load(54, as: UInt16.self), size >= 56,
            let count = reader.load(56, as: UInt16.self)
        else { return [] }
        return reader.entries(of: table, size: size, count: count).compactMap { place in
            guard
                reader.load(place, as: UInt32.self) == 1,  // PT_LOAD
                let fileOffset = reader.load(place + 8, as: UInt64.self),
                let address = reader.load(place + 16, as: UInt64.self),
                let fileSize = reader.load(place + 32, as: UInt64.self)
            else { return nil }
            return Segment(fileOffset: fileOffset, fileSize: fileSize, address: address)
        }
    }

    private static func sections(_ reader: Reader) -> [Int] {
        guard
            let table = reader.load(40, as: UInt64.self), let size = reader.load(58, as: UInt16.self), size >= 64,
            let count = reader.load(60, as: UInt16.self)
        else { return [] }
        return reader.entries(of: table, size: size, count: count)
    }

    /// What a section holds, if the file has it all.
    private static func content(_ header: Int, _ reader: Reader) -> Range<Int>? {
        guard
            let offset = reader.load(header + 24, as: UInt64.self),
            let length = reader.load(header + 32, as: UInt64.self),
            offset <= UInt64(reader.count), length <= UInt64(reader.count) - offset
        else { return nil }
        return Int(offset)..<Int(offset + length)
    }

    /// - Source: the note `NT_GNU_BUILD_ID`, as in elf(5).
    private static func buildID(_ reader: Reader) -> [UInt8] {
        for header in Self.sections(reader) where reader.load(header + 4, as: UInt32.self) == 7 {  // SHT_NOTE
            guard let range = Self.content(header, reader), range.count >= 16 else { continue }
            let (start, name) = (range.lowerBound, Array("GNU\0".utf8))
            guard
                reader.load(start, as: UInt32.self) == 4, let length = reader.load(start + 4, as: UInt32.self),
                Int(length) <= range.count - 16, reader.load(start + 8, as: UInt32.self) == 3,
                reader.bytes(start + 12, 4) == name
            else { continue }
            return reader.bytes(start + 16, Int(length))
        }
        return []
    }

    private static func symbolTables(
        _ reader: Reader
    ) -> (symbols: Range<Int>, strings: Range<Int>, isStripped: Bool)? {
        let headers = Self.sections(reader)
        for type in [UInt32(2), 11] {  // SHT_SYMTAB, else SHT_DYNSYM
            for header in headers {
                guard
                    reader.load(header + 4, as: UInt32.self) == type,
                    reader.load(header + 56, as: UInt64.self) == UInt64(Self.symbolSize),
                    let link = reader.load(header + 40, as: UInt32.self), link < headers.count,
                    let symbols = Self.content(header, reader), let strings = Self.content(headers[Int(link)], reader),
                    !symbols.isEmpty
                else { continue }
                let whole = symbols.count - symbols.count % Self.symbolSize
                return (symbols.lowerBound..<symbols.lowerBound + whole, strings, type != 2)
            }
        }
        return nil
    }
}

/// Integers anywhere in bytes; `nil` for those that are not wholly inside.
private struct Reader {
    private let bytes: Data

    init(_ bytes: Data) { self.bytes = bytes }

    var count: Int { self.bytes.count }

    func load<Number: FixedWidthInteger & BitwiseCopyable>(_ place: Int, as type: Number.Type) -> Number? {
        guard place >= 0, place <= self.bytes.count - MemoryLayout<Number>.size else { return nil }
        return Number(littleEndian: unsafe self.bytes.bytes.unsafeLoadUnaligned(fromByteOffset: place, as: type))
    }

    /// Bytes that are wholly inside; none when they are not.
    func bytes(_ place: Int, _ count: Int) -> [UInt8] {
        guard place >= 0, place <= self.bytes.count - count else { return [] }
        return Array(self.bytes[place..<place + count])
    }

    /// Where the entries of a table begin, as many as there are and the file has room for.
    func entries(of table: UInt64, size: UInt16, count: UInt16) -> [Int] {
        guard table <= UInt64(self.count) else { return [] }
        let start = Int(table)
        return (0..<min(Int(count), (self.count - start) / Int(size))).map { start + $0 * Int(size) }
    }
}
