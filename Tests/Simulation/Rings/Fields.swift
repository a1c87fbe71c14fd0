// SPDX-License-Identifier: Apache-2.0

import NIOCore
@testable import Proxy
import SimulationSupport

/// The fields of a head or of trailers.
typealias Fields = [(name: String, value: String)]

extension Fields {
    subscript(_ name: String) -> String? { self.first { $0.name == name }?.value }
}

/// Reads the header blocks that mesher sends on one connection; fuzzing has looked at what decodes them.
final class FieldReader {
    private var decoder = HPACKDecoder()

    func read(_ block: ByteBuffer) throws -> Fields {
        var headers = HeaderBlock()
        var pseudo = PseudoFields()
        guard
            self.decoder.decode(block.readableBytesSpan, limits: .response, into: &headers, &pseudo) == .complete
        else { throw Violation("framing", "a header block that makes no sense") }
        var fields: Fields = []
        for (name, range, kind) in [
            (":status", pseudo.status, HPACKPseudo.status), (":method", pseudo.method, .method),
            (":path", pseudo.path, .path), (":scheme", pseudo.scheme, .scheme),
        ] where pseudo.has(kind) { fields.append((name, headers.string(in: range))) }
        var text = ByteBuffer()
        text.writeWithOutputRawSpan(minimumWritableBytes: headers.writtenBound) { headers.write(to: &$0) }
        for line in (text.readString(length: text.readableBytes) ?? "").split(separator: "\r\n") {
            guard let colon = line.firstIndex(of: ":") else { throw Violation("framing", "not a field: \(line)") }
            fields.append((String(line[..<colon]), String(line[line.index(after: colon)...].drop { $0 == " " })))
        }
        return fields
    }
}

/// Writes header blocks: everything in full, and what stays the same by its place in the table from the second time on.
struct FieldWriter {
    /// Few enough that nothing leaves the table.
    private static let most = 30
    private static let staticEntries = 61
    private var known: [String: Int] = [:]
    private var inserted = 0

    mutating func write(_ fields: Fields) -> ByteBuffer {
        var block = ByteBuffer()
        for (name, value) in fields {
            let line = "\(name): \(value)"
            if let number = self.known[line] {
                block.writeInteger(UInt8(0x80 | (Self.staticEntries + self.inserted - number)))
                continue
            }
            let isKept = self.inserted < Self.most && !name.hasPrefix(":")
            block.writeInteger(UInt8(isKept ? 0x40 : 0))
            Self.write(name, to: &block)
            Self.write(value, to: &block)
            if isKept {
                self.known[line] = self.inserted
                self.inserted += 1
            }
        }
        return block
    }

    private static func write(_ text: String, to block: inout ByteBuffer) {
        precondition(text.utf8.count < 127, "a text that is too long for one byte of length")
        block.writeInteger(UInt8(text.utf8.count))
        block.writeString(text)
    }
}
