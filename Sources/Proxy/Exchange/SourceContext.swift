// SPDX-License-Identifier: Apache-2.0
// request path

import Common

/// The header `x-cse-context`: a JSON object of texts that sidecars and frameworks pass along with a request.
///
/// Pure.
package enum SourceContext {
    /// The key of the caller's service name.
    package static let sourceKey = "x-cse-src-microservice"

    /// The texts of the object; `nil` when the bytes are anything else than a JSON object of texts.
    ///
    /// - Source: RFC 8259. Other kinds of values make the header invalid, as they did for the original.
    package static func parse(_ bytes: RawSpan) -> [(key: String, value: String)]? {
        var parser = Parser(position: 0)
        return parser.object(bytes)
    }

    /// The object as one line of ASCII, so that it may stand in a header.
    package static func write(_ fields: [(key: String, value: String)]) -> String {
        "{" + fields.map { "\(Self.quoted($0.key)):\(Self.quoted($0.value))" }.joined(separator: ",") + "}"
    }

    private static func quoted(_ text: String) -> String {
        var result = "\""
        for unit in text.utf16 {
            switch unit {
            case 0x22: result += "\\\""
            case 0x5c: result += "\\\\"
            case 0x20..<0x7f: result.unicodeScalars.append(Unicode.Scalar(UInt8(unit)))
            default:
                let digits = String(unit, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            }
        }
        return result + "\""
    }

    private struct Parser {
        var position: Int

        mutating func object(_ bytes: RawSpan) -> [(key: String, value: String)]? {
            guard self.take(.leftBrace, bytes) else { return nil }
            var fields: [(key: String, value: String)] = []
            if !self.take(.rightBrace, bytes) {
                repeat {
                    guard let key = self.text(bytes), self.take(.colon, bytes), let value = self.text(bytes) else {
                        return nil
                    }
                    fields.append((key, value))
                } while self.take(.comma, bytes)
                guard self.take(.rightBrace, bytes) else { return nil }
            }
            self.skipBlanks(bytes)
            return self.position == bytes.byteCount ? fields : nil
        }

        private mutating func skipBlanks(_ bytes: RawSpan) {
            while self.position < bytes.byteCount, bytes.byte(at: self.position) <= .space { self.position += 1 }
        }

        private mutating func take(_ byte: UInt8, _ bytes: RawSpan) -> Bool {
            self.skipBlanks(bytes)
            guard self.position < bytes.byteCount, bytes.byte(at: self.position) == byte else { return false }
            self.position += 1
            return true
        }

        private mutating func text(_ bytes: RawSpan) -> String? {
            guard self.take(.quote, bytes) else { return nil }
            var units: [UInt8] = []
            while self.position < bytes.byteCount {
                let byte = bytes.byte(at: self.position)
                self.position += 1
                switch byte {
                case .quote: return String(decoding: units, as: UTF8.self)
                case .backslash:
                    guard let scalar = self.escape(bytes) else { return nil }
                    units.append(contentsOf: String(scalar).utf8)
                case 0..<UInt8.space: return nil
                default: units.append(byte)
                }
            }
            return nil
        }

        private mutating func escape(_ bytes: RawSpan) -> Unicode.Scalar? {
            guard self.position < bytes.byteCount else { return nil }
            let byte = bytes.byte(at: self.position)
            self.position += 1
            switch byte {
            case .quote, .backslash, .slash: return Unicode.Scalar(byte)
            case 0x62: return "\u{8}"
            case 0x66: return "\u{c}"
            case 0x6e: return "\n"
            case 0x72: return "\r"
            case 0x74: return "\t"
            case 0x75: return self.unicodeEscape(bytes)
            default: return nil
            }
        }

        private mutating func unicodeEscape(_ bytes: RawSpan) -> Unicode.Scalar? {
            guard let unit = self.hexDigits(bytes) else { return nil }
            guard unit & 0xfc00 == 0xd800 else { return Unicode.Scalar(unit) }
            guard self.position + 2 <= bytes.byteCount, bytes.byte(at: self.position) == .backslash,
                bytes.byte(at: self.position + 1) == 0x75
            else { return nil }
            self.position += 2
            guard let low = self.hexDigits(bytes), low & 0xfc00 == 0xdc00 else { return nil }
            return Unicode.Scalar(0x10000 + ((unit & 0x3ff) << 10 | low & 0x3ff))
        }

        private mutating func hexDigits(_ bytes: RawSpan) -> UInt32? {
            guard self.position + 4 <= bytes.byteCount else { return nil }
            var value: UInt32 = 0
            for _ in 0..<4 {
                let digit = bytes.byte(at: self.position).hexValue
                guard digit < 16 else { return nil }
                value = value << 4 | UInt32(digit)
                self.position += 1
            }
            return value
        }
    }
}
