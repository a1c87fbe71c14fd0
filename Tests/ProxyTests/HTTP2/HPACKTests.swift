// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import Testing

@testable import Proxy

/// Header blocks of HTTP/2 against the examples of RFC 7541, and against themselves.
@Suite struct HPACKTests {
    /// What came out of decoding one block.
    private struct Decoded: Equatable {
        var result: HPACKDecoder.Result
        var lines: [String]
        var method = ""
        var path = ""
        var status = ""
    }

    private static func decode(
        _ bytes: [UInt8], _ decoder: inout HPACKDecoder, limits: HeadLimits = HeadLimits()
    ) -> Decoded {
        var block = HeaderBlock()
        var pseudo = PseudoFields()
        let result = decoder.decode(bytes.rawSpan, limits: limits, into: &block, &pseudo)
        return Decoded(
            result: result, lines: block.lines.map { "\($0.name): \($0.value)" },
            method: block.string(in: pseudo.method), path: block.string(in: pseudo.path),
            status: block.string(in: pseudo.status))
    }

    private static func bytes(_ hex: String) -> [UInt8] {
        let digits = Array(hex.utf8).filter { $0 != .space }.map(\.hexValue)
        return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }

    @Test(
        "requests of RFC 7541 C.3 and C.4, plain and in the Huffman code, on one connection",
        arguments: [
            [
                "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", "8286 84be 5808 6e6f 2d63 6163 6865",
                "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
            ],
            [
                "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", "8286 84be 5886 a8eb 1064 9cbf",
                "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
            ],
        ])
    func requests(blocks: [String]) {
        var decoder = HPACKDecoder()
        let first = Self.decode(Self.bytes(blocks[0]), &decoder)
        #expect(first == Decoded(result: .complete, lines: ["host: www.example.com"], method: "GET", path: "/"))
        let second = Self.decode(Self.bytes(blocks[1]), &decoder)
        #expect(second.lines == ["host: www.example.com", "cache-control: no-cache"])
        let third = Self.decode(Self.bytes(blocks[2]), &decoder)
        #expect(third.path == "/index.html")
        #expect(third.lines == ["host: www.example.com", "custom-key: custom-value"])
    }

    @Test(
        "a block that makes no sense, and one whose fields no message may have",
        arguments: [
            ("80", HPACKDecoder.Result.broken),  // index 0
            ("ff00", .broken),  // beyond the table
            ("ffffffffff0f", .broken),  // an integer without end
            ("82 3f e1 7f", .broken),  // a larger table than agreed, and not at the beginning
            ("3f e2 1f", .broken),  // 4097 bytes
            ("40 81", .broken),  // cut off
            ("00 84 ff ff ff ff 00", .broken),  // the end-of-string code
            ("00 81 00 00", .broken),  // padding of zeros
            ("00 01 41 01 61", .malformed),  // an upper-case name
            ("00 00 01 61", .malformed),  // no name
            ("00 01 61 01 0a", .malformed),  // a line feed
            ("00 01 61 02 20 61", .malformed),  // a blank in front
            ("00 01 61 01 61 82", .malformed),  // a pseudo-header field behind
            ("82 82", .malformed),  // twice
            ("00 02 3a 78 01 61", .malformed),  // unknown
        ])
    func mistakes(hex: String, result: HPACKDecoder.Result) {
        var decoder = HPACKDecoder()
        #expect(Self.decode(Self.bytes(hex), &decoder).result == result)
    }

    @Test("a block that is too large is read to its end, so that the next one is understood")
    func tooLarge() {
        var decoder = HPACKDecoder()
        var limits = HeadLimits()
        limits.section = 40
        let block = Self.bytes("40 01 61 14") + Array("12345678901234567890".utf8) + Self.bytes("40 01 62 01 63")
        #expect(Self.decode(block, &decoder, limits: limits).result == .tooLarge)
        #expect(Self.decode([0xbe], &decoder).lines == ["b: c"])
    }

    @Test("cookies, which a client may send one by one, count as the one field that they become")
    func cookies() {
        func literal(_ name: String, _ value: String) -> [UInt8] {
            [0, UInt8(name.utf8.count)] + Array(name.utf8) + [UInt8(value.utf8.count)] + Array(value.utf8)
        }
        func fields(_ count: Int) -> [UInt8] { (0..<count).flatMap { literal("x-\($0)", "v") } }
        let cookies = (0..<110).flatMap { literal("cookie", "c\($0)=v") }
        var decoder = HPACKDecoder()
        let decoded = Self.decode(cookies, &decoder)
        #expect(decoded.result == .complete && decoded.lines.count == 110)
        #expect(Self.decode(fields(99) + cookies, &decoder).result == .complete)
        #expect(Self.decode(fields(100) + cookies, &decoder).result == .tooLarge)
        #expect(decoder.excess == .tooManyFields)
        // Each takes up what it does all the same: 60 KiB, at 32 bytes and its text.
        let large = (0..<700).flatMap { _ in literal("cookie", String(repeating: "c", count: 60)) }
        #expect(Self.decode(large, &decoder).result == .tooLarge)
        #expect(decoder.excess == .tooLarge)
    }

    @Test("tells which limit a block has met first")
    func excess() {
        var decoder = HPACKDecoder()
        let limits = HeadLimits(startLine: 0, field: 20, section: 100, fields: 2)
        let short = Self.bytes("00 01 61 01 62")
        let long = Self.bytes("00 01 61 14") + [UInt8](repeating: 0x62, count: 20)
        for (block, excess) in [
            (long, HeadViolation.fieldTooLong), (short + short + short, .tooManyFields),
            (short + Self.bytes("00 01 61 13") + [UInt8](repeating: 0x62, count: 19) + Self.bytes("82"), .tooLarge),
        ] {
            #expect(Self.decode(block, &decoder, limits: limits).result == .tooLarge)
            #expect(decoder.excess == excess)
        }
    }

    @Test("a block so large that nobody means it is not read to its end")
    func bomb() {
        // One field of 4,001 bytes in the table, and a byte for each time that it comes again.
        let field = Self.bytes("40 01 61 7f a1 1e") + [UInt8](repeating: 0x62, count: 4000)
        var decoder = HPACKDecoder()
        // 40 times are too large only: what follows is read.
        #expect(Self.decode(field + [UInt8](repeating: 0xbe, count: 39) + [0x80], &decoder).result == .broken)
        var second = HPACKDecoder()
        #expect(Self.decode(field + [UInt8](repeating: 0xbe, count: 39), &second).result == .tooLarge)
        // Four times the limit of 60 KiB is a bomb, and nothing behind it is looked at.
        var third = HPACKDecoder()
        #expect(Self.decode(field + [UInt8](repeating: 0xbe, count: 100) + [0x80], &third).result == .bomb)
        // A larger limit makes for a larger bomb.
        var fourth = HPACKDecoder()
        var limits = HeadLimits()
        limits.section = 200 * 1024
        #expect(
            Self.decode(field + [UInt8](repeating: 0xbe, count: 100), &fourth, limits: limits).result == .tooLarge)
    }

    @Test("what the encoder writes the decoder reads, and what repeats becomes one byte a field")
    func roundTrip() {
        var encoder = HPACKEncoder()
        var decoder = HPACKDecoder()
        var sizes: [Int] = []
        for round in 0..<200 {
            var block = HeaderBlock()
            block.append(HeaderLine("Content-Type", "application/grpc"))
            block.append(HeaderLine("X-Fixed", "always the same"))
            block.append(HeaderLine("x-changing", "\(round)"))
            block.append(HeaderLine("b3", "0"))
            block.append(HeaderLine("authorization", "Bearer secret"))
            block.lowercaseNames()
            var out = ByteBuffer()
            out.writeWithOutputRawSpan(minimumWritableBytes: block.encodedBound) { out in
                encoder.begin(&out)
                encoder.status(404, &out)
                block.encode(with: &encoder, isRequest: false, to: &out)
            }
            sizes.append(out.readableBytes)
            let decoded = Self.decode(Array(out.readableBytesView), &decoder)
            #expect(decoded.status == "404")
            #expect(
                decoded.lines == [
                    "content-type: application/grpc", "x-fixed: always the same", "x-changing: \(round)", "b3: 0",
                    "authorization: Bearer secret",
                ])
        }
        // Three bytes that are in a table; a literal name and value; a place in a trace, which is another's next time even
        // where it is not; the secret, which no table keeps.
        #expect(sizes[150] == 1 + 1 + 1 + (1 + 1 + 10 + 1 + 3) + (1 + 1 + 2 + 1 + 1) + (2 + 1 + 13))
    }

    @Test(
        "a block says every size that its peer's table went down to since the last one",
        arguments: [
            ([0, 4096], "20 3f e1 1f"), ([100], "3f 45"), ([200, 100, 4096], "3f 45 3f e1 1f"),
            ([100, 200, 0], "20"), ([4096], ""),
        ] as [([Int], String)])
    func sizeUpdates(limits: [Int], prefix: String) {
        var encoder = HPACKEncoder()
        func block() -> [UInt8] {
            var out = ByteBuffer()
            out.writeWithOutputRawSpan(minimumWritableBytes: 64) { out in
                encoder.begin(&out)
                encoder.status(200, &out)
            }
            return Array(out.readableBytesView)
        }
        for limit in limits { encoder.setLimit(limit) }
        #expect(block() == Self.bytes(prefix) + [0x88])
        #expect(block() == [0x88])
    }

    @Test("the peer's table may be smaller, and change while the connection lives")
    func smallTables() {
        var encoder = HPACKEncoder()
        var decoder = HPACKDecoder()
        for (round, limit) in [4096, 100, 0, 64, 4096, 200, 4096].enumerated() {
            encoder.setLimit(limit)
            for repetition in 0..<10 {
                var block = HeaderBlock()
                for index in 0..<6 { block.append(HeaderLine("x-\(index)", "value \(index) of \(round % 3)")) }
                block.lowercaseNames()
                var out = ByteBuffer()
                out.writeWithOutputRawSpan(minimumWritableBytes: block.encodedBound) { out in
                    encoder.begin(&out)
                    block.encode(with: &encoder, isRequest: false, to: &out)
                }
                let decoded = Self.decode(Array(out.readableBytesView), &decoder)
                #expect(decoded.result == .complete, "limit \(limit), repetition \(repetition)")
                #expect(decoded.lines.count == 6)
                #expect(decoded.lines.last == "x-5: value 5 of \(round % 3)")
            }
        }
    }
}
