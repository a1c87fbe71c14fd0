// SPDX-License-Identifier: Apache-2.0

import Common
import Foundation
import Testing

@Suite struct LineEscaperTests {
    private func text(_ bytes: [UInt8], upTo limit: Int = .max) -> String {
        var line: [UInt8] = []
        LineEscaper.appendText(bytes.rawSpan, to: &line, upTo: limit)
        return String(decoding: line, as: UTF8.self)
    }

    private func json(_ bytes: [UInt8], upTo limit: Int = .max) -> String {
        var line: [UInt8] = []
        LineEscaper.appendJSON(bytes.rawSpan, to: &line, upTo: limit)
        return String(decoding: line, as: UTF8.self)
    }

    /// Bytes, what text makes of them, and what JSON does.
    private static let table: [([UInt8], String, String)] = [
        ([], "", ""), (Array("plain text, 100 % of it: a=b 'c'".utf8), "plain text, 100 % of it: a=b 'c'", ""),
        ([0x0d, 0x0a], #"\r\n"#, #"\r\n"#), ([0x09], #"\t"#, #"\t"#), ([0x1b, 0x5b], #"\x1b["#, #"\u001b["#),
        ([0], #"\x00"#, #"\u0000"#), ([0x7f], #"\x7f"#, #"\u007f"#), (Array("\\".utf8), #"\\"#, #"\\"#),
        (Array("\u{85}".utf8), #"\u0085"#, #"\u0085"#), (Array("\u{9b}".utf8), #"\u009b"#, #"\u009b"#),
        (Array("\u{202e}".utf8), #"\u202e"#, #"\u202e"#), (Array("\u{2028}".utf8), #"\u2028"#, #"\u2028"#),
        (Array("\u{2029}".utf8), #"\u2029"#, #"\u2029"#), (Array("\u{2066}".utf8), #"\u2066"#, #"\u2066"#),
        (Array("\u{200f}".utf8), #"\u200f"#, #"\u200f"#), (Array("\u{61c}".utf8), #"\u061c"#, #"\u061c"#),
        (Array("käse 乳酪 🧀\u{a0}".utf8), "käse 乳酪 🧀\u{a0}", ""),
        // No UTF-8: alone, cut, overlong, a surrogate, beyond the last character, a stray continuation.
        ([0xff], #"\xff"#, #"\ufffd"#), ([0x61, 0xe2, 0x80], #"a\xe2\x80"#, #"a\ufffd\ufffd"#),
        ([0xc0, 0x8a], #"\xc0\x8a"#, #"\ufffd\ufffd"#), ([0xe0, 0x80, 0x8a], #"\xe0\x80\x8a"#, #"\ufffd\ufffd\ufffd"#),
        ([0xed, 0xa0, 0x80], #"\xed\xa0\x80"#, #"\ufffd\ufffd\ufffd"#),
        ([0xf4, 0x90, 0x80, 0x80], #"\xf4\x90\x80\x80"#, #"\ufffd\ufffd\ufffd\ufffd"#), ([0x80], #"\x80"#, #"\ufffd"#),
        ([0xe2, 0x0a, 0xa8], #"\xe2\n\xa8"#, #"\ufffd\n\ufffd"#),
    ]

    @Test("escapes what breaks, hides or turns a line, at any place of a word", arguments: Self.table)
    func escapes(bytes: [UInt8], text: String, json: String) {
        for count in 0...9 {
            let (before, after) = (String(repeating: "x", count: count), String(repeating: "y", count: 17))
            let all = Array(before.utf8) + bytes + Array(after.utf8)
            #expect(self.text(all) == before + text + after)
            #expect(self.json(all) == before + (json.isEmpty ? text : json) + after)
        }
    }

    @Test("quotes are escaped in quotes and in JSON only")
    func quotes() {
        let bytes = Array(#"say "no""#.utf8)
        var quoted: [UInt8] = []
        LineEscaper.appendQuoted(bytes.rawSpan, to: &quoted)
        #expect(self.text(bytes) == #"say "no""# && String(decoding: quoted, as: UTF8.self) == #"say \"no\""#)
        #expect(self.json(bytes) == #"say \"no\""#)
    }

    @Test("each single byte and each pair of bytes come out as one line of UTF-8 without control characters")
    func allPairs() {
        for first in UInt8.min...UInt8.max {
            let pairs: [UInt8] = (UInt8.min...UInt8.max).flatMap { second -> [UInt8] in [first, second, 0x78] }
            for line in [self.text(pairs), self.json(pairs)] {
                // U+FFFD is what decoding puts for bytes that are no UTF-8.
                let unsafeScalar = line.unicodeScalars.first {
                    $0.value < 0x20 || 0x7f...0x9f ~= $0.value || $0.value == 0xfffd
                }
                #expect(unsafeScalar == nil, "after \(first)")
            }
        }
    }

    @Test("JSON gives back what was valid")
    func roundTrip() throws {
        let text = String(String.UnicodeScalarView((0...0x3000).compactMap(Unicode.Scalar.init)))
        let document = Data("[\"\(self.json(Array(text.utf8)))\"]".utf8)
        #expect(try JSONSerialization.jsonObject(with: document) as? [String] == [text])
    }

    @Test("stops at the limit, before a character or an escape that does not fit", arguments: 0...12)
    func limit(limit: Int) {
        for text in [
            "abcdefghijklmnop", "ä乳🧀ä乳🧀ä乳🧀", "\n\n\n\n\n\n\n\n\n", "\u{202e}\u{202e}\u{202e}",
            "a\u{1b}ä\u{1b}乳\u{1b}",
        ] {
            let (whole, cut) = (self.text(Array(text.utf8)), self.text(Array(text.utf8), upTo: limit))
            #expect(whole.hasPrefix(cut) && cut.utf8.count <= limit && !cut.contains("\u{fffd}"))
            // Nothing but the next character or escape is missing.
            #expect(limit - cut.utf8.count < 6)
            var line: [UInt8] = []
            #expect(LineEscaper.appendText(text.rawSpan, to: &line, upTo: limit) == (whole == cut))
        }
    }

    @Test("a line that is at its limit already takes nothing")
    func full() {
        var line: [UInt8] = [1, 2, 3]
        #expect(!LineEscaper.appendText("abc".rawSpan, to: &line, upTo: 2) && line == [1, 2, 3])
        #expect(LineEscaper.appendText("".rawSpan, to: &line, upTo: 2) && line == [1, 2, 3])
    }
}
