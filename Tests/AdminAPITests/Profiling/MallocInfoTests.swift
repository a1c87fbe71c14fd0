// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import AdminAPI

@Suite("malloc_info")
struct MallocInfoTests {
    /// As glibc 2.36 writes it.
    static let document = """
        <malloc version="1">
        <heap nr="0">
        <sizes>
          <size from="33" to="48" total="96" count="2"/>
          <size from="1025" to="1040" total="1040" count="1"/>
          <unsorted from="400" to="4000" total="4400" count="2"/>
        </sizes>
        <total type="fast" count="2" size="96"/>
        <total type="rest" count="3" size="5440"/>
        <system type="current" size="135168"/>
        <system type="max" size="999999"/>
        <aspace type="total" size="135168"/>
        <aspace type="mprotect" size="135168"/>
        </heap>
        <heap nr="1">
        <sizes>
          <size from="33" to="48" total="48" count="1"/>
        </sizes>
        <total type="fast" count="1" size="48"/>
        <total type="rest" count="0" size="0"/>
        <system type="current" size="4096"/>
        <system type="max" size="4096"/>
        <aspace type="total" size="4096"/>
        </heap>
        <total type="fast" count="3" size="144"/>
        <total type="rest" count="3" size="5440"/>
        <total type="mmap" count="1" size="1048576"/>
        <system type="current" size="139264"/>
        </malloc>
        """

    @Test("has each arena's totals") func arenas() {
        #expect(
            MallocInfo(document: Self.document).arenas == [
                MallocInfo.Arena(number: 0, system: 135_168, free: 5_536, freeBlocks: 5),
                MallocInfo.Arena(number: 1, system: 4_096, free: 48, freeBlocks: 1),
            ])
    }

    @Test("adds up free blocks of one size over the arenas") func sizes() {
        #expect(
            MallocInfo(document: Self.document).freeSizes == [
                MallocInfo.FreeSize(sizes: 33...48, blocks: 3, total: 144),
                MallocInfo.FreeSize(sizes: 1025...1040, blocks: 1, total: 1040),
            ])
    }

    @Test(
        "survives what is no such document",
        arguments: [
            "", "<", "<size from=\"9\" to=\"3\" total=\"1\" count=\"1\"/>", "</heap>", "<heap nr=\"x\">\n</heap>",
            "<size from=\"1\" to=\"3\" total=\"9223372036854775807\" count=\"9223372036854775807\"/>\n"
                + "<size from=\"1\" to=\"3\" total=\"1\" count=\"1\"/>",
        ])
    func garbage(document: String) {
        #expect(MallocInfo(document: document).arenas.count <= 1)
    }
}
