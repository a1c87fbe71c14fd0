// SPDX-License-Identifier: Apache-2.0

import Common
import Testing

@Suite struct PatternRewriteTests {
    private static func rewritten(_ text: String, _ pattern: String, _ substitution: String) throws -> String {
        let bytes = Array(text.utf8)
        let rewrite = try PatternRewrite(pattern, substitution)
        return String(decoding: rewrite.rewrite(bytes.rawSpan), as: UTF8.self)
    }

    @Test(
        "everything that is found is replaced",
        arguments: [
            ("/regex/abc/12/rest", "/regex/([a-z]+)/([0-9]+)", #"/\2/\1"#, "/12/abc/rest"),
            ("/every/aa/a", "a+", "b", "/every/b/b"), ("/every/aa/a", "a", "", "/every//"),
            ("/matched/x", "^/matched(/.*)$", #"\1"#, "/x"), ("/none", "x", "y", "/none"),
            ("/group/ab/a", "(a)(b)?", #"[\2\1\0\\]"#, #"/group/[baab\]/[aa\]"#),
            ("/a/b", "^", "/c", "/c/a/b"), ("/a/b", "$", "/c", "/a/b/c"), ("/xx/y", "x*", "-", "-/-/-y-"),
            ("/aaa", "a", "aa", "/aaaaaa"), ("/", "/", "/x", "/x"),
            ("/é", "z*", "-", "-/-é-"),
        ])
    func all(text: String, pattern: String, substitution: String, expected: String) throws {
        #expect(try Self.rewritten(text, pattern, substitution) == expected)
    }

    @Test(
        "says what is wrong",
        arguments: [
            ("(", "", "\"(\" is no regular expression"), ("a", #"\1"#, #""\1" asks for group 1, "a" has 0"#),
            ("(a)", #"\1\2"#, #""\1\2" asks for group 2, "(a)" has 1"#), ("a", #"x\"#, #"a backslash in "x\""#),
            ("a", #"\d"#, #"a backslash in "\d""#), ("a", "b c", "\"b c\" cannot stand in a path"),
            ("a", "b\r\n", "\"b\r\n\" cannot stand in a path"), ("a", "#b", "\"#b\" cannot stand in a path"),
        ])
    func mistakes(pattern: String, substitution: String, expected: String) {
        do {
            _ = try PatternRewrite(pattern, substitution)
            Issue.record("it is taken")
        } catch {
            #expect(error.problem.hasPrefix(expected), "\(error)")
        }
    }

    @Test("two are equal that were written alike")
    func equality() throws {
        #expect(try PatternRewrite("a", "b") == PatternRewrite("a", "b"))
        #expect(try PatternRewrite("a", "b") != PatternRewrite("a", "c"))
        #expect(try PatternRewrite("a", "b") != PatternRewrite("b", "b"))
    }
}
