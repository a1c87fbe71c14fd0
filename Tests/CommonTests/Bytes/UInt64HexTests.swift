// SPDX-License-Identifier: Apache-2.0

import Common
import Testing

@Suite struct UInt64HexTests {
    @Test("digits are read and written eight at a time")
    func digits() {
        func word(_ text: String) -> UInt64 {
            text.utf8.reversed().reduce(0) { $0 << 8 | UInt64($1) }
        }
        for number: UInt64 in [0, 1, 0xffff_ffff, 0x0123_4567, 0x89ab_cdef, 0x9a9a_9a9a, 0xa0f0_00ff] {
            #expect(UInt64(hexDigits: number.lowHexDigits) == number)
            #expect((number << 32).highHexDigits == number.lowHexDigits)
        }
        #expect(UInt64(hexDigits: word("ABCDEF09")) == 0xabcd_ef09)
        #expect(UInt64(hexDigits: word("aBcDeF09")) == 0xabcd_ef09)
        // Every byte that is no digit is found out, in every place.
        for byte in UInt8.min ... .max where byte.hexValue >= 16 {
            for place in 0..<8 as Range<UInt64> {
                let digits = word("00000000") & ~(0xff << (8 * place)) | UInt64(byte) << (8 * place)
                #expect(UInt64(hexDigits: digits) == nil, "\(byte) in place \(place)")
            }
        }
    }
}
