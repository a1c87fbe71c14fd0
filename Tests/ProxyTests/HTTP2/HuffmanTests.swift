// SPDX-License-Identifier: Apache-2.0

import BasicContainers
import Common
import Testing

@testable import Proxy

/// The Huffman code of HPACK, against what another implementation has encoded.
@Suite struct HuffmanTests {
    private static func decode(_ hex: String) -> [UInt8]? {
        let digits = hex.utf8.filter { $0 != .space && $0 != .lineFeed }.map(\.hexValue)
        let input = stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
        var out = UniqueArray<UInt8>()
        guard HuffmanDecoder.shared.decode(input.rawSpan, into: &out) else { return nil }
        return (0..<out.count).map { out[$0] }
    }

    /// The bytes 0 to 255, by the Python package hpack.
    private static let all = """
        ffc7fffd8fffffe2fffffe3fffffe4fffffe5fffffe6fffffe7fffffe8ffffeafffffff3fffffa7fffffabffffffdfffffeb
        fffffecfffffedfffffeefffffefffffff0ffffff1ffffff2fffffffbfffffcffffffd3fffffd7fffffdbfffffdffffffe3f
        ffffe7fffffebfffffed4fe3f9ffaffcabf1febfafefe7fdfd2cbb00089969b71d79fb9f7fff20ffbff3ff50ddbd7f061c58
        f265cd9f469d5af66dddbf871e5f9cff7ff7fffc3ff9ffe45fff4719242cb34e6e9d68a6a3d7dac426defe3cfaf7fffbfe7f
        fbffdffffffcfffe6ffff4bfff9ffffa3fffd3ffff53fffd5ffffb3fffeb7fffdaffffb7ffff73fffeeffffdeffffebffffb
        fffffd9ffffdbfffebffffe0ffffeeffffc3ffff8bffff1ffffe4fffee7fffb1ffff97fffd9ffffcdffff9fffffbffffdaff
        feeffff4ffffb7fffee7fffe8ffffd3fffdeffffd5fffeeffffbdffffe1fffdfffff7fffff5ffffecffff07fff87fffe0fff
        f17fffedffff87ffff77fffeffffeaffff8bfffe3ffff93ffff87fffcbffff37ffff1fffff83ffffe1fffebfffe3ffff3fff
        ff2ffffa3ffffd9fffff17ffffc7fffff27ffffdefffffbffffff2fffff8fffffb7fff97fff8fffffe6fffffc1fffff87fff
        fe7fffffc5ffffe5fffe4ffff2fffffd1fffff4ffffffefffffe3fffffc9fffff97fffb3ffffcffffb7fffcdffff4ffff9ff
        ffd1ffffcffffeaffffafffffddffffeffffff4fffff5fffffabffffa7ffffd7fffff9bffffecfffffb7fffff3fffffe8fff
        ffd3fffffabfffff5fffffff7ffffecfffffdbfffffbbfffff7ffffff0fffffbbf
        """

    @Test("every byte has its code")
    func everyByte() { #expect(Self.decode(Self.all) == Array(0...255)) }

    @Test(
        "padding is the beginning of the end of the string, and shorter than a byte",
        arguments: [
            ("", ""), ("1f", "a"), ("18ff", "aa"), ("18c7", "aaa"), ("18c6", nil), ("1fff", nil), ("ff", nil),
            ("07", "0"),
            ("fe3f", "!"), ("fe7f", "\""), ("ffc7", "\0"), ("ffffffff", nil), ("fffffffcff", nil),
        ] as [(String, String?)])
    func padding(hex: String, text: String?) { #expect(Self.decode(hex) == text.map { Array($0.utf8) }) }
}
