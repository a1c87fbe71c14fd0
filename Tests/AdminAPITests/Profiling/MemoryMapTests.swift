// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import AdminAPI

@Suite("memory map")
struct MemoryMapTests {
    private static let text = """
        55d0c0000000-55d0c0002000 r--p 00000000 08:01 1234                       /usr/bin/mesher
        55d0c0002000-55d0c0005000 r-xp 00002000 08:01 1234                       /usr/bin/mesher
        7f0000000000-7f0000001000 rw-p 00000000 00:00 0
        7f0000002000-7f0000003000 r-xp 00010000 08:01 99                         /opt/with two  blanks/lib.so
        7f0000003000-7f0000004000 r-xp 00000000 00:00 0
        7ffc00000000-7ffc00001000 r-xp 00000000 00:00 0                          [vdso]
        """

    @Test("holds what may be executed, with its files")
    func executable() {
        let map = MemoryMap(text: Self.text)
        #expect(map.executable.map(\.path) == ["/usr/bin/mesher", "/opt/with two  blanks/lib.so", "", "[vdso]"])
        #expect(map.executable.first?.addresses == 0x55d0_c000_2000..<0x55d0_c000_5000)
    }

    @Test(
        "finds the range of an address, and its place in the file",
        arguments: [
            (UInt(0x55d0_c000_2000), UInt64?(0x2000)), (0x55d0_c000_4fff, 0x4fff), (0x55d0_c000_5000, nil),
            (0x55d0_c000_1fff, nil), (0x7f00_0000_2010, 0x10010), (0, nil), (.max, nil),
        ])
    func places(address: UInt, fileOffset: UInt64?) {
        let entry = MemoryMap(text: Self.text).entry(at: address)
        #expect(entry?.fileOffset(of: address) == fileOffset)
    }

    @Test(
        "leaves out lines that are none",
        arguments: ["", "\n\n", "x", "1-2 r-xp", "2-1 r-xp 0 0:0 0 /a", "1-zz r-xp 0 0:0 0 /a", "1 r-xp 0 0:0 0 /a"])
    func garbage(text: String) {
        #expect(MemoryMap(text: text).executable.isEmpty)
    }

    @Test("of this process has the code that asks") func current() {
        #expect(MemoryMap.current().executable.contains { $0.path.hasPrefix("/") })
    }
}
