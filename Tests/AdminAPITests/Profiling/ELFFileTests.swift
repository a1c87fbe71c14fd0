// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import AdminAPI

@Suite("ELF file")
struct ELFFileTests {
    /// A file of one segment, two sections and these symbols: enough for the reader, and all offsets known.
    struct Image {
        var symbols: [(name: String, info: UInt8, section: UInt16, address: UInt64, size: UInt64)] = [
            ("wide", 0x12, 1, 0x1000, 0x100), ("narrow", 0x02, 1, 0x1040, 0x10), ("alias", 0x12, 1, 0x1040, 0x10),
            ("undefined", 0x12, 0, 0x1040, 0x8), ("data", 0x11, 1, 0x1040, 0x8), ("assembly", 0x10, 1, 0x1200, 0),
            ("$x", 0x00, 1, 0x1300, 0),
        ]
        var type: UInt32 = 2
        var buildID: [UInt8] = [0xab, 0xcd, 0xef]

        static func put<Number: FixedWidthInteger>(_ number: Number, _ place: Int, _ bytes: inout [UInt8]) {
            for index in 0..<(Number.bitWidth / 8) {
                bytes[place + index] = UInt8(truncatingIfNeeded: number >> Number(8 * index))
            }
        }

        var data: Data {
            var names: [UInt8] = [0]
            var table: [UInt8] = []
            for symbol in self.symbols {
                var entry = [UInt8](repeating: 0, count: 24)
                Self.put(UInt32(names.count), 0, &entry)
                entry[4] = symbol.info
                Self.put(symbol.section, 6, &entry)
                Self.put(symbol.address, 8, &entry)
                Self.put(symbol.size, 16, &entry)
                table += entry
                names += Array(symbol.name.utf8) + [0]
            }
            var bytes = [UInt8](repeating: 0, count: 64 + 56 + 3 * 64)
            bytes.replaceSubrange(0..<7, with: [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1])
            Self.put(UInt64(64), 32, &bytes)  // program headers
            Self.put(UInt64(120), 40, &bytes)  // section headers
            Self.put(UInt16(56), 54, &bytes)
            Self.put(UInt16(1), 56, &bytes)
            Self.put(UInt16(64), 58, &bytes)
            Self.put(UInt16(3), 60, &bytes)
            Self.put(UInt32(1), 64, &bytes)  // PT_LOAD: file 0x200… is at 0x1000…
            Self.put(UInt64(0x200), 72, &bytes)
            Self.put(UInt64(0x1000), 80, &bytes)
            Self.put(UInt64(0x400), 96, &bytes)
            let symbolHeader = 120 + 64
            Self.put(self.type, symbolHeader + 4, &bytes)
            Self.put(UInt64(bytes.count), symbolHeader + 24, &bytes)
            Self.put(UInt64(table.count), symbolHeader + 32, &bytes)
            Self.put(UInt32(2), symbolHeader + 40, &bytes)
            Self.put(UInt64(24), symbolHeader + 56, &bytes)
            let stringHeader = symbolHeader + 64
            Self.put(UInt32(3), stringHeader + 4, &bytes)
            Self.put(UInt64(bytes.count + table.count), stringHeader + 24, &bytes)
            Self.put(UInt64(names.count), stringHeader + 32, &bytes)
            let note: [UInt8] = [4, 0, 0, 0, UInt8(self.buildID.count), 0, 0, 0, 3, 0, 0, 0] + Array("GNU\0".utf8)
            Self.put(UInt32(7), 120 + 4, &bytes)
            Self.put(UInt64(bytes.count + table.count + names.count), 120 + 24, &bytes)
            Self.put(UInt64(note.count + self.buildID.count), 120 + 32, &bytes)
            return Data(bytes + table + names + note + self.buildID)
        }
    }

    private static let asked: [UInt64] = [
        0, 0xfff, 0x1000, 0x103f, 0x1040, 0x104f, 0x1050, 0x10ff, 0x1100, 0x1204, .max,
    ]

    @Test("names the narrowest function, of equals the global one, and assembly without a size", arguments: [2, 11])
    func names(type: UInt32) throws {
        let file = try #require(ELFFile(Image(type: type).data))
        #expect(
            file.names(at: Self.asked) == [
                0x1000: "wide", 0x103f: "wide", 0x1040: "alias", 0x104f: "alias", 0x1050: "wide", 0x10ff: "wide",
                0x1204: "assembly",
            ])
    }

    @Test("does not take arm64's marks between code and data for functions") func marks() throws {
        let file = try #require(ELFFile(Image().data))
        #expect(file.names(at: [0x1304]) == [:])
    }

    @Test("a symbol without a size does not reach far") func reach() throws {
        let file = try #require(ELFFile(Image(symbols: [("assembly", 0x10, 1, 0x1200, 0)]).data))
        #expect(file.names(at: [0x11ff, 0x1200, 0x1200 + 16 * 1024]) == [0x1200: "assembly"])
    }

    @Test("knows the address of a byte that is loaded") func address() throws {
        let file = try #require(ELFFile(Image().data))
        #expect(file.address(ofByteAt: 0x200) == 0x1000)
        #expect(file.address(ofByteAt: 0x5ff) == 0x13ff)
        #expect(file.address(ofByteAt: 0x600) == nil)
        #expect(file.address(ofByteAt: 0x1ff) == nil)
    }

    @Test("reads a slice of other data alike") func slice() throws {
        let image = Image().data
        let file = try #require(ELFFile((Data([1, 2, 3]) + image).dropFirst(3)))
        #expect(file.names(at: [0x1000]) == [0x1000: "wide"])
    }

    @Test("knows its build, and whether it was stripped") func build() throws {
        let file = try #require(ELFFile(Image().data))
        #expect(file.buildID == [0xab, 0xcd, 0xef] && !file.isStripped)
        let stripped = try #require(ELFFile(Image(type: 11, buildID: []).data))
        #expect(stripped.buildID.isEmpty && stripped.isStripped)
    }

    @Test("survives being cut anywhere") func truncated() {
        let whole = Image().data
        for length in 0..<whole.count {
            guard let file = ELFFile(whole.prefix(length)) else { continue }
            #expect(file.names(at: Self.asked).count <= 7)
            _ = file.address(ofByteAt: 0x200)
        }
        #expect(ELFFile(Data()) == nil)
        #expect(ELFFile(whole.prefix(64)) == nil)
    }

    @Test("survives any field being anything") func corrupted() {
        let whole = Image().data
        for place in whole.indices {
            for value in [UInt8(0), 1, 0x7f, 0x80, 0xff] where whole[place] != value {
                var bytes = whole
                bytes[place] = value
                guard let file = ELFFile(bytes) else { continue }
                _ = file.names(at: Self.asked)
                _ = file.address(ofByteAt: 0x200)
            }
        }
        for place in stride(from: 32, to: whole.count - 8, by: 4) {
            var bytes = whole
            bytes.replaceSubrange(place..<place + 8, with: [UInt8](repeating: 0xff, count: 8))
            _ = ELFFile(bytes)?.names(at: Self.asked)
            bytes[place + 7] = 0x7f
            _ = ELFFile(bytes)?.names(at: Self.asked)
        }
    }

    @Test("survives garbage behind a true beginning") func garbage() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<500 {
            var bytes = (0..<400).map { _ in UInt8.random(in: 0...255, using: &generator) }
            bytes.replaceSubrange(0..<6, with: [0x7f, 0x45, 0x4c, 0x46, 2, 1])
            // Small offsets, so that much of it is taken for headers.
            for place in [33, 41] { bytes.replaceSubrange(place..<place + 7, with: [UInt8](repeating: 0, count: 7)) }
            _ = ELFFile(Data(bytes))?.names(at: Self.asked)
        }
    }
}
