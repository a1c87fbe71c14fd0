// SPDX-License-Identifier: Apache-2.0

import Common
import Testing

@Suite struct TextMatchTests {
    @Test(
        "compares as the operator says",
        arguments: [
            (.exact(.init("Jason")), "Jason", true), (.exact(.init("Jason")), "jason", false),
            (.exact(.init("Jason", ignoresCase: true)), "jASON", true), (.exact(.init("")), "", true),
            (.exact(.init("Jason")), "Jasons", false), (.notEqual(.init("a")), "b", true),
            (.notEqual(.init("a")), "a", false), (.notEqual(.init("a")), "", true),
            (.notEqual(.init("A", ignoresCase: true)), "a", false), (.contains(.init("bc")), "abcd", true),
            (.contains(.init("bc")), "b", false), (.contains(.init("")), "", true), (.prefix(.init("/a")), "/ab", true),
            (.prefix(.init("/a")), "/", false), (.suffix(.init("b")), "ab", true), (.suffix(.init("ab")), "b", false),
            (.number(.greater, 9), "10", true), (.number(.greater, 10), "10", false), (.number(.less, 0), "-1", true),
            (.number(.noLess, 10), "+10", true), (.number(.noGreater, 10), "11", false),
            (.number(.greater, 1), "1e3", false), (.number(.less, 1), "", false), (.number(.less, 1), "-", false),
            (.number(.greater, 1), "99999999999999999999", false),
            (.number(.noLess, .min), "-9223372036854775808", true),
            (.number(.noLess, .min), "-9223372036854775809", false), (.never, "", false),
        ] as [(TextMatch, String, Bool)])
    func matches(match: TextMatch, text: String, expected: Bool) {
        let isMatch = match.matches(Array(text.utf8).rawSpan)
        #expect(isMatch == expected)
    }

    @Test("a regular expression is found anywhere, and letter case counts unless it is told not to")
    func regex() throws {
        func found(_ expression: String, _ text: String) throws -> Bool {
            TextMatch.regex(try RegularExpression(expression)).matches(Array(text.utf8).rawSpan)
        }
        #expect(try found("^t-[0-9]+$", "t-12") && !found("^t-[0-9]+$", "T-12") && found("(?i)^t-\\d+$", "T-12"))
        #expect(try found("user=jason", "a=b; user=jason; c=d"))
    }

    @Test(
        "expressions that make others backtrack for ever take time in proportion to the text",
        arguments: ["(a+)+$", "(a|aa)+$", "(a*)*b", "^(([a-z])+.)+[A-Z]([a-z])+$", "(x+x+)+y", "(.*)*=.*"])
    func linear(expression: String) throws {
        let match = TextMatch.regex(try RegularExpression(expression))
        func time(_ count: Int) -> Duration {
            let text = Array(String(repeating: expression.contains("x") ? "x" : "a", count: count).utf8) + [0x21]
            var isMatch = true
            let time = ContinuousClock().measure { isMatch = match.matches(text.rawSpan) }
            #expect(!isMatch)
            return time
        }
        _ = time(1_000)
        // Backtracking would need longer than the universe has existed for a text of 100 letters.
        #expect(time(50_000) < .milliseconds(500))
    }
}
