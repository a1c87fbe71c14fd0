// SPDX-License-Identifier: Apache-2.0

import CRE2

/// A regular expression of a rule, compiled when the rule is published.
///
/// RE2's: matching takes time linear in the text, whatever the expression, so neither a rule nor a request can stall an
/// event loop. Back-references and look-around do not exist in it.
///
/// - Source: https://github.com/google/re2/wiki/Syntax
@safe
package final class RegularExpression: Sendable {
    /// As it was written.
    package let text: String
    // Immutable once compiled; RE2 promises that several threads may match at once.
    private nonisolated(unsafe) let pattern: OpaquePointer

    /// Compiles an expression.
    ///
    /// - Throws: What is wrong with it.
    package init(_ text: String) throws(ConfigMistake) {
        self.text = text
        var error = [CChar](repeating: 0, count: 200)
        var bytes = text
        let pattern = bytes.withUTF8 { utf8 in
            unsafe error.withUnsafeMutableBufferPointer { message in
                unsafe utf8.withMemoryRebound(to: CChar.self) { text in
                    unsafe cre2_compile(text.baseAddress, text.count, message.baseAddress, message.count)
                }
            }
        }
        guard let pattern = unsafe pattern else {
            let reason = String(decoding: error.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            throw ConfigMistake(
                "\"\(text)\" is no regular expression: \(reason)",
                remedy: "write one in the syntax of RE2, which has neither look-around nor back-references")
        }
        unsafe self.pattern = pattern
    }

    deinit { unsafe cre2_free(self.pattern) }

    /// Whether it is found anywhere in `bytes`.
    package func isFound(in bytes: RawSpan) -> Bool {
        unsafe bytes.withUnsafeBytes { buffer in
            unsafe cre2_search(self.pattern, buffer.baseAddress?.assumingMemoryBound(to: CChar.self), buffer.count)
        }
    }

    /// Whether `bytes` as a whole are one of its matches.
    package func matches(_ bytes: RawSpan) -> Bool {
        unsafe bytes.withUnsafeBytes { buffer in
            unsafe cre2_match(self.pattern, buffer.baseAddress?.assumingMemoryBound(to: CChar.self), buffer.count)
        }
    }

    /// How many groups it has, besides the whole match.
    package var groupCount: Int { unsafe Int(cre2_groups(self.pattern)) }

    /// The highest number by which a group can be asked for.
    package static let mostGroups = Int(CRE2_MOST_GROUPS)

    /// Finds the first match that begins at `start` or behind it.
    ///
    /// - Parameter bytes: At least one.
    /// - Parameter spans: Two places for each group that is wanted, the whole match as the first; they get where the group
    ///   begins and ends, or -1 for one that is no part of the match.
    func find(in bytes: RawSpan, from start: Int, _ spans: inout [Int]) -> Bool {
        unsafe bytes.withUnsafeBytes { buffer in
            unsafe spans.withUnsafeMutableBufferPointer { spans in
                unsafe cre2_find(
                    self.pattern, buffer.baseAddress?.assumingMemoryBound(to: CChar.self), buffer.count, start,
                    spans.baseAddress, spans.count / 2)
            }
        }
    }
}
