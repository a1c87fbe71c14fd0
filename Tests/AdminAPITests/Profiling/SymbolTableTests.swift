// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import AdminAPI

@Suite("symbol table")
struct SymbolTableTests {
    @Test(
        "demangles Swift and C++, and nothing else",
        arguments: [
            ("$sSi1poiyS2i_SitFZ", String?("static Swift.Int.+ infix(Swift.Int, Swift.Int) -> Swift.Int")),
            ("_ZN3foo3barEi", "foo::bar(int)"), ("malloc", nil), ("", nil), ("_Z", nil), ("_ZN3foo", nil), ("S", nil),
        ])
    func demangles(name: String, expected: String?) {
        #expect(SymbolTable.demangled(name) == expected)
    }

    @Test("finds a function of the running program by a return address") func ownFunction() throws {
        let address = try #require(Probe.callSite())
        let symbol = try #require(SymbolTable().symbol(at: address - 1))
        #expect(symbol.name.contains("Probe.callSite"))
        #expect(symbol.systemName.hasPrefix("$s"))
    }

    @Test("finds a function of a library") func library() throws {
        let address = UInt(bitPattern: unsafe dlsym(nil, "qsort"))
        try #require(address != 0)
        let symbols = SymbolTable().symbols(at: [address, address + 1, 1])
        #expect(symbols[address]?.name == "qsort")
        #expect(symbols[address + 1]?.systemName == "qsort")
        #expect(symbols[1] == nil)
    }

    @Test("a stripped file has its names from the file of its build, and from no other", arguments: [true, false])
    func strippedFile(isSameBuild: Bool) throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("symbols-\(UUID())")
        try FileManager.default.createDirectory(
            at: folder.appendingPathComponent(".debug"), withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let program = ELFFileTests.Image(symbols: [("exported", 0x12, 1, 0x1000, 0x10)], type: 11)
        let symbols = ELFFileTests.Image(
            symbols: [("whole", 0x12, 1, 0x1000, 0x10)], buildID: isSameBuild ? program.buildID : [1, 2, 3])
        try program.data.write(to: folder.appendingPathComponent("program"))
        try symbols.data.write(to: folder.appendingPathComponent(".debug/program.debug"))
        let map = MemoryMap(text: "10000-10400 r-xp 00000200 00:00 7 \(folder.path)/program")
        #expect(SymbolTable(map: map).symbol(at: 0x10004)?.name == (isSameBuild ? "whole" : "exported"))
    }

    @Test(
        "a file that is gone, or is none, has no names",
        arguments: ["/nowhere", "[vdso]", "/a (deleted)", "", "/dev/null"])
    func noFile(path: String) {
        let map = MemoryMap(text: "1000-2000 r-xp 00000000 00:00 0 \(path)")
        #expect(SymbolTable(map: map).symbol(at: 0x1000) == nil)
    }
}

/// A function that tells its own address.
enum Probe {
    /// An address in this function; `nil` when the stack cannot be read.
    @inline(never) static func callSite() -> UInt? {
        let table = SymbolTable()
        return Thread.callStackReturnAddresses.map(\.uintValue).first { address in
            table.symbol(at: address - 1)?.name.contains("Probe") ?? false
        }
    }
}
