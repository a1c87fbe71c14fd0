// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import AdminAPI

@Suite("gzip")
struct GzipTests {
    /// The check sum of RFC 1952 §8, bit by bit.
    private static func checksum(_ bytes: [UInt8]) -> UInt32 {
        ~bytes.reduce(UInt32.max) { sum, byte in
            (0..<8).reduce(sum ^ UInt32(byte)) { sum, _ in sum & 1 == 1 ? sum >> 1 ^ 0xedb8_8320 : sum >> 1 }
        }
    }

    private static func littleEndian(_ bytes: ArraySlice<UInt8>) -> UInt32 {
        bytes.reversed().reduce(0) { $0 << 8 | UInt32($1) }
    }

    @Test("has gzip's header and trailer, and is smaller", arguments: [0, 1, 100_000])
    func format(count: Int) throws {
        let input = (0..<count).map { UInt8(truncatingIfNeeded: $0 / 100) }
        let output = try #require(Gzip.compressed(input))
        #expect(output.prefix(3) == [0x1f, 0x8b, 8])
        #expect(Self.littleEndian(output.suffix(4)) == UInt32(count))
        #expect(Self.littleEndian(output.suffix(8).prefix(4)) == Self.checksum(input))
        #expect(output.count < count / 10 + 64)
    }
}
