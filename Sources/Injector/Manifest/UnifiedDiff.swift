// SPDX-License-Identifier: Apache-2.0

import Common

/// What has changed in a text, as `diff -u` and `patch` have it.
package enum UnifiedDiff {
    private struct Line {
        /// A blank, `-` or `+`.
        let sign: Character
        let text: ArraySlice<UInt8>
    }

    private static let context = 3
    /// Beyond this nobody looks for what two texts share: it would take the square of their lines.
    private static let mostLines = 8_000

    /// The difference of two texts; empty when they are the same.
    ///
    /// - Parameter parts: Both, part by part, each of whole lines.
    /// - Parameter name: What the text is called.
    package static func text(_ parts: [(before: [UInt8], after: [UInt8])], name: String) -> String {
        let lines = parts.flatMap { Self.lines($0.before, $0.after) }
        let changed = lines.indices.filter { lines[$0].sign != " " }
        guard let first = changed.first else { return "" }
        var hunks: [Range<Int>] = []
        var hunk = max(0, first - Self.context)..<(first + 1)
        for index in changed {
            if index - hunk.upperBound > 2 * Self.context {
                hunks.append(hunk.lowerBound..<(hunk.upperBound + Self.context))
                hunk = (index - Self.context)..<(index + 1)
            } else {
                hunk = hunk.lowerBound..<(index + 1)
            }
        }
        hunks.append(hunk.lowerBound..<min(lines.count, hunk.upperBound + Self.context))
        var (index, before, after) = (0, 0, 0)
        var text = "--- \(name)\n+++ \(name)\n"
        for hunk in hunks {
            for line in lines[index..<hunk.lowerBound] {
                if line.sign != "+" { before += 1 }
                if line.sign != "-" { after += 1 }
            }
            let (old, new) = (lines[hunk].count { $0.sign != "+" }, lines[hunk].count { $0.sign != "-" })
            text += "@@ -\(Self.range(before, old)) +\(Self.range(after, new)) @@\n"
            for line in lines[hunk] {
                text += "\(line.sign)\(String(decoding: line.text, as: UTF8.self))"
                if line.text.last != .lineFeed { text += "\n\\ No newline at end of file\n" }
            }
            (index, before, after) = (hunk.upperBound, before + old, after + new)
        }
        return text
    }

    /// Lines of a hunk; `diff` names the line before an empty one.
    private static func range(_ before: Int, _ count: Int) -> String {
        "\(count == 0 ? before : before + 1),\(count)"
    }

    private static func split(_ bytes: [UInt8]) -> [ArraySlice<UInt8>] {
        var (lines, start): ([ArraySlice<UInt8>], Int) = ([], 0)
        while start < bytes.count {
            let end = bytes[start...].firstIndex(of: .lineFeed).map { $0 + 1 } ?? bytes.count
            lines.append(bytes[start..<end])
            start = end
        }
        return lines
    }

    private static func lines(_ before: [UInt8], _ after: [UInt8]) -> [Line] {
        let old = Self.split(before)
        if before == after { return old.map { Line(sign: " ", text: $0) } }
        let new = Self.split(after)
        guard old.count + new.count <= Self.mostLines else {
            return old.map { Line(sign: "-", text: $0) } + new.map { Line(sign: "+", text: $0) }
        }
        var (removed, inserted): (Set<Int>, Set<Int>) = ([], [])
        for change in new.difference(from: old) {
            switch change {
            case .remove(let offset, _, _): removed.insert(offset)
            case .insert(let offset, _, _): inserted.insert(offset)
            }
        }
        var lines: [Line] = []
        var (left, right) = (0, 0)
        while left < old.count || right < new.count {
            if removed.contains(left) {
                lines.append(Line(sign: "-", text: old[left]))
                left += 1
            } else if inserted.contains(right) {
                lines.append(Line(sign: "+", text: new[right]))
                right += 1
            } else {
                lines.append(Line(sign: " ", text: old[left]))
                (left, right) = (left + 1, right + 1)
            }
        }
        return lines
    }
}
