// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Common

@Suite struct TextTests {
    @Test(
        "what has a meaning in a URL is encoded, and comes back",
        arguments: [
            ("", ""), ("aZ0-._~", "aZ0-._~"), ("a b/c", "a%20b%2Fc"), ("é", "%C3%A9"), ("100%", "100%25"), ("@", "%40"),
        ])
    func percent(_ text: String, _ encoded: String) {
        #expect(text.percentEncoded() == encoded)
        #expect(encoded.percentDecoded == text)
    }

    @Test("what was not encoded is not decoded", arguments: ["%", "a%4", "%zz", "%g0", "%FF", "%C3"])
    func malformed(_ text: String) { #expect(text.percentDecoded == nil) }

    @Test("a caller may keep other characters")
    func kept() { #expect("a@b~".percentEncoded { $0.isUnreserved && $0 != 0x7e || $0 == 0x40 } == "a@b%7E") }

    @Test(
        "white space around a text goes, inside it stays", arguments: [(" \t a b\r\n", "a b"), ("", ""), (" \n", "")])
    func trimmed(_ text: String, _ trimmed: String) { #expect(text.trimmed == trimmed) }

    @Test("columns are filled in characters, and nothing is cut")
    func padded() {
        #expect("ü".padded(to: 3) == "ü  ")
        #expect("four".padded(to: 3) == "four")
    }

    @Test(
        "numbers for people",
        arguments: [
            (0.0, 1, "0.0"), (1.25, 1, "1.3"), (-0.04, 1, "0.0"), (-1.5, 1, "-1.5"), (0.0415, 3, "0.042"),
            (12345.678, 2, "12345.68"), (1e300, 2, "1e+300"), (.infinity, 2, "inf"),
        ])
    func numbers(_ number: Double, _ digits: Int, _ text: String) { #expect(number.text(digits: digits) == text) }
}
