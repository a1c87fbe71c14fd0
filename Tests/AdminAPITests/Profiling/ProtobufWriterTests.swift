// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import AdminAPI

@Suite("protobuf writer")
struct ProtobufWriterTests {
    @Test(
        "writes numbers as varints; zero is left out",
        arguments: [
            (0, []), (1, [0x08, 0x01]), (127, [0x08, 0x7f]), (128, [0x08, 0x80, 0x01]), (150, [0x08, 0x96, 0x01]),
            (.max, [0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
        ] as [(UInt64, [UInt8])])
    func numbers(value: UInt64, expected: [UInt8]) {
        var writer = ProtobufWriter()
        writer.number(1, value)
        #expect(writer.bytes == expected)
    }

    @Test("writes texts, packed numbers, truths and messages as the specification's examples") func others() {
        var writer = ProtobufWriter()
        writer.text(2, "testing")
        writer.numbers(6, [3, 270, 86942])
        writer.message(3) { $0.number(1, UInt64(150)) }
        writer.flag(16, true)
        writer.flag(17, false)
        writer.numbers(7, [])
        writer.text(1, "")
        writer.number(1, Int64(-1))
        let expected: [UInt8] =
            [0x12, 0x07] + Array("testing".utf8) + [0x32, 0x06, 0x03, 0x8e, 0x02, 0x9e, 0xa7, 0x05]
            + [0x1a, 0x03, 0x08, 0x96, 0x01, 0x80, 0x01, 0x01, 0x0a, 0x00]
            + [0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]
        #expect(writer.bytes == expected)
    }
}
