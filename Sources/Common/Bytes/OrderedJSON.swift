// SPDX-License-Identifier: Apache-2.0

/// JSON whose members stand in the order in which they are given: that of the original's structures, on which some of its
/// clients rely, and that in which people read a schema.
package indirect enum OrderedJSON: Sendable {
    case object([(String, OrderedJSON)])
    case array([OrderedJSON])
    case string(String)
    case number(Int)
    /// A number as it stands in JSON, whatever its size and precision.
    case decimal(String)
    case bool(Bool)
    case null

    /// A map, by name as Go writes it; `null` for none.
    package init(_ map: [String: String]?) {
        guard let map else {
            self = .null
            return
        }
        self = .object(map.sorted { $0.key < $1.key }.map { ($0.key, .string($0.value)) })
    }

    /// As it goes out.
    package var bytes: [UInt8] {
        var bytes: [UInt8] = []
        self.write(to: &bytes)
        return bytes
    }

    private func write(to out: inout [UInt8]) {
        switch self {
        case .object(let members):
            out.append(.leftBrace)
            for (index, (name, value)) in members.enumerated() {
                if index > 0 { out.append(.comma) }
                Self.write(name, to: &out)
                out.append(.colon)
                value.write(to: &out)
            }
            out.append(.rightBrace)
        case .array(let elements):
            out.append(.leftBracket)
            for (index, element) in elements.enumerated() {
                if index > 0 { out.append(.comma) }
                element.write(to: &out)
            }
            out.append(.rightBracket)
        case .string(let text): Self.write(text, to: &out)
        case .number(let number): out.append(contentsOf: "\(number)".utf8)
        case .decimal(let text): out.append(contentsOf: text.utf8)
        case .bool(let flag): out.append(contentsOf: "\(flag)".utf8)
        case .null: out.append(contentsOf: "null".utf8)
        }
    }

    private static func write(_ text: String, to out: inout [UInt8]) {
        out.append(.quote)
        LineEscaper.appendJSON(text.rawSpan, to: &out)
        out.append(.quote)
    }
}
