// SPDX-License-Identifier: Apache-2.0

/// Values in rules, and what is said of those that are none.
extension RuleProblems {
    /// A whole number of a range; `nil` when none is written, or, with a note, something else.
    mutating func number(_ tree: ConfigTree?, _ range: ClosedRange<Int>) -> Int? {
        guard let tree, case let text = tree.text ?? "" else { return nil }
        if let number = Int(text), range.contains(number) { return number }
        self.note(
            tree.location,
            ConfigMistake(
                "\"\(text)\" is no whole number from \(range.lowerBound) to \(range.upperBound)",
                remedy: "write one"))
        return nil
    }

    /// A percentage, in millionths of the whole; `nil` when none is written, or, with a note, something else.
    mutating func share(_ tree: ConfigTree?) -> Int? {
        guard let tree, case let text = tree.text ?? "" else { return nil }
        let isPlain = text.utf8.allSatisfy {
            $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") || $0 == UInt8(ascii: ".")
        }
        if isPlain, let percent = Double(text), percent <= 100 {
            let share = Int((percent * 10_000).rounded())
            if share > 0 || percent == 0 { return share }
            self.note(tree.location, ConfigMistake("\"\(text)\" is less than can be", remedy: "write 0.0001 or more"))
            return nil
        }
        self.note(
            tree.location, ConfigMistake("\"\(text)\" is no percentage", remedy: "write 0 to 100, such as 0.5"))
        return nil
    }

    /// A duration; `nil` when none is written, or, with a note, something else.
    mutating func duration(_ tree: ConfigTree?) -> Duration? {
        guard let tree, case let text = tree.text ?? "" else { return nil }
        if let duration = DurationText.read(text), duration >= .zero { return duration }
        self.note(tree.location, ConfigMistake("\"\(text)\" is no duration", remedy: "write one such as 500ms or 2s"))
        return nil
    }

    /// A text; `nil` when none is written, or, with a note, something else.
    mutating func text(_ tree: ConfigTree?) -> String? {
        guard let tree else { return nil }
        if let text = tree.text { return text }
        self.note(tree.location, ConfigMistake("a text belongs here", remedy: "write one, in quotes if it is empty"))
        return nil
    }

    /// `true` or `false`; `nil` when neither is written, with a note when something else is.
    mutating func flag(_ tree: ConfigTree?) -> Bool? {
        guard let tree else { return nil }
        if let flag = tree.text.flatMap({ Bool($0) }) { return flag }
        self.note(tree.location, ConfigMistake("true or false belongs here", remedy: "write one of them"))
        return nil
    }

    /// The entries of a map; with a note when something else is written.
    mutating func entries(_ tree: ConfigTree?) -> [ConfigTree.Entry] {
        guard let tree else { return [] }
        if !tree.isMapOrEmpty {
            self.note(tree.location, ConfigMistake("a map belongs here", remedy: "write {key: value}"))
        }
        return tree.entries
    }

    /// A path as requests carry it; `nil`, with a note, for anything that would break their first line.
    mutating func path(_ text: String, _ location: ConfigLocation) -> String? {
        let isPath = text.utf8.allSatisfy {
            $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "?") && $0 != UInt8(ascii: "#")
        }
        guard text.hasPrefix("/") else {
            self.note(location, ConfigMistake("\"\(text)\" is no path", remedy: "begin it with a slash"))
            return nil
        }
        guard isPath else {
            self.note(
                location,
                ConfigMistake(
                    "\"\(text)\" is no path", remedy: "leave the query out, and write other characters as %20"))
            return nil
        }
        return text
    }

    /// What a field can carry; `nil` when none is written, or, with a note, something else.
    mutating func fieldValue(_ tree: ConfigTree?) -> String? {
        guard let tree, let text = self.text(tree) else { return nil }
        if text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f || $0 == UInt8(ascii: "\t") }) { return text }
        self.note(
            tree.location, ConfigMistake("no header can carry this text", remedy: "leave out line breaks"))
        return nil
    }

    /// A host without a port; `nil` when none is written, or, with a note, something else.
    mutating func host(_ tree: ConfigTree?) -> String? {
        guard let tree, let host = self.text(tree) else { return nil }
        if DomainTable.isDomain(host.lowercased()), !host.hasPrefix("*"), !host.hasSuffix("*") { return host }
        self.note(
            tree.location, ConfigMistake("\"\(host)\" is no host", remedy: "write one such as cart.internal"))
        return nil
    }

    /// A name that a message can carry.
    mutating func token(_ text: String, _ location: ConfigLocation, _ kind: String, _ remedy: String) {
        if text.isEmpty || !text.utf8.allSatisfy(\.isToken) {
            self.note(location, ConfigMistake("\"\(text)\" is no \(kind)", remedy: remedy))
        }
    }
}
