// SPDX-License-Identifier: Apache-2.0

/// Why a text is no YAML, or not what its author means: at the place of the cause, and with what to write instead.
struct YAMLMistake {
    let place: YAMLPlace
    let problem: String
    let remedy: String

    init(_ place: YAMLPlace, _ problem: String, remedy: String) {
        self.place = place
        self.problem = problem
        self.remedy = remedy
    }

    /// What libyaml has found, in the words of whoever wrote the text.
    ///
    /// libyaml tells where it cannot go on; the cause often stands before that.
    init(_ failure: YAMLFailure, in lines: YAMLLines) {
        self =
            lines.mistake(ofByte: failure)
            ?? lines.quoteMistake(failure)
            ?? lines.leftovers(failure)
            ?? lines.flowMistake(failure)
            ?? lines.tabMistake(failure)
            ?? lines.valueMistake(failure)
            ?? lines.keyMistake(failure)
            ?? lines.nestingMistake(failure)
            ?? YAMLMistake(
                failure.place, "this is no YAML: \(failure.problem)",
                remedy: "look at the indentation, quotes and colons of this line and the one above")
    }
}

// MARK: What is no text, and what was left behind

extension YAMLLines {
    /// Bytes that are no text.
    fileprivate func mistake(ofByte failure: YAMLFailure) -> YAMLMistake? {
        guard let index = failure.badByte else { return nil }
        let place = self.place(ofByte: index)
        let byte = self.byte(index) ?? 0
        guard failure.problem.contains("control characters") else {
            let code = String(byte, radix: 16, uppercase: true)
            return YAMLMistake(place, "the byte 0x\(code) is no UTF-8", remedy: "save the file as UTF-8")
        }
        let scalar = self[place.line].scalar(place.column) ?? Unicode.Scalar(byte)
        let digits = String(scalar.value, radix: 16, uppercase: true)
        let code = String(repeating: "0", count: max(0, 4 - digits.count)) + digits
        let name = scalar.value == 0 ? "a NUL byte" : "the control character U+\(code)"
        return YAMLMistake(place, "\(name) stands here", remedy: "remove it")
    }

    /// What programs leave in a file: templates, merge conflicts, marks of the byte order.
    fileprivate func leftovers(_ failure: YAMLFailure) -> YAMLMistake? {
        for number in Set([failure.place.line, failure.contextPlace.line]).sorted() {
            let content = self[number].content
            if ["<<<<<<<", "=======", ">>>>>>>"].contains(where: content.hasPrefix), self[number].indentation == 0 {
                return YAMLMistake(
                    YAMLPlace(line: number, column: 1), "a merge conflict begins or ends here",
                    remedy: "keep one of its sides, and remove the lines <<<<<<<, ======= and >>>>>>>")
            }
            if content.hasPrefix("\u{feff}") {
                return YAMLMistake(
                    YAMLPlace(line: number, column: self[number].indentation + 1),
                    "a byte order mark stands in the middle of the file", remedy: "remove it")
            }
        }
        return self.templateMistake(near: failure.place)
            ?? (failure.problem.contains("<document start>")
                ? self.lineWithContent(above: failure.place.line).flatMap {
                    self.templateMistake(near: YAMLPlace(line: $0, column: 1))
                } : nil)
    }

    /// A template that nobody has filled in, in the line of a place.
    func templateMistake(near place: YAMLPlace) -> YAMLMistake? {
        let scalars = self[place.line].scalars
        let found = scalars.indices.dropLast().first { index in
            scalars[index] == "{" && (scalars[index + 1] == "{" || scalars[index + 1] == "%")
        }
        guard let index = found else { return nil }
        return YAMLMistake(
            YAMLPlace(line: place.line, column: index + 1), "a template begins here, and nobody has filled it in",
            remedy: "give mesher the file that your template makes, or write ${NAME} for an environment variable")
    }
}

// MARK: Quotes, brackets and tabs

extension YAMLLines {
    fileprivate func quoteMistake(_ failure: YAMLFailure) -> YAMLMistake? {
        if failure.context.contains("quoted scalar") {
            guard failure.problem.contains("unexpected") else {
                let escape = self[failure.place.line].text(from: failure.place.column - 1).prefix(2)
                return YAMLMistake(
                    failure.place, "\(escape) means nothing inside of double quotes",
                    remedy: "write \\\(escape), or put the value in single quotes")
            }
            return Self.unclosed(failure.contextPlace)
        }
        guard let quote = failure.quote, quote.end.line == failure.place.line, quote.end <= failure.place else {
            return nil
        }
        // It ends where the next one was meant to begin.
        if quote.start.line < quote.end.line { return Self.unclosed(quote.start) }
        let between = self[quote.end.line].scalars.dropFirst(quote.end.column - 1)
            .prefix(failure.place.column - quote.end.column)
        guard between.allSatisfy({ $0 == " " }), !failure.problem.contains("',' or") else { return nil }
        return YAMLMistake(
            failure.place, "text stands behind a closing quote",
            remedy: "put the whole value in quotes; inside of single quotes write '' for '")
    }

    private static func unclosed(_ place: YAMLPlace) -> YAMLMistake {
        YAMLMistake(place, "this quote is not closed", remedy: "write its other half at the end of the value")
    }

    fileprivate func flowMistake(_ failure: YAMLFailure) -> YAMLMistake? {
        let isEnd =
            failure.context.contains("flow node") && failure.place.line >= self.count
            && self[failure.place.line].scalar(failure.place.column) == nil
        if isEnd, let open = self.lastOpenBracket { return Self.unclosed(open.bracket, open.place) }
        guard failure.problem.contains("',' or") else { return nil }
        let isList = failure.problem.contains("']'")
        let closing = isList ? "]" : "}"
        let start = failure.contextPlace
        let line = self[failure.place.line]
        let isKey = line.glued(from: line.indentation) == nil && line.key != nil
        let isOutside = failure.place.line > start.line && isKey && line.indentation <= self[start.line].indentation
        if isOutside || !self.has(isList ? .rightBracket : .rightBrace, from: start) {
            return Self.unclosed(isList ? "[" : "{", start)
        }
        return YAMLMistake(
            failure.place, "a comma or \(closing) is missing before this",
            remedy: "write a comma between two values, and \(closing) behind the last one")
    }

    private static func unclosed(_ bracket: Unicode.Scalar, _ place: YAMLPlace) -> YAMLMistake {
        YAMLMistake(
            place, "this \(bracket) is not closed",
            remedy: "write \(bracket == "[" ? "]" : "}") behind its last value")
    }

    fileprivate func tabMistake(_ failure: YAMLFailure) -> YAMLMistake? {
        if let column = self[failure.place.line].tab {
            return YAMLMistake(
                YAMLPlace(line: failure.place.line, column: column), "a tab indents this line", remedy: "use spaces")
        }
        guard self[failure.place.line].scalar(failure.place.column) == "\t" else { return nil }
        return YAMLMistake(failure.place, "a tab stands here", remedy: "use a space")
    }
}

// MARK: Values

extension YAMLLines {
    fileprivate func valueMistake(_ failure: YAMLFailure) -> YAMLMistake? {
        let line = self[failure.place.line]
        if failure.context.contains("alias") || failure.context.contains("anchor") {
            let start = failure.contextPlace
            let sign = failure.context.contains("alias") ? "*" : "&"
            let meaning = sign == "*" ? "refers to an anchor" : "is an anchor"
            return YAMLMistake(
                start, "what begins with \(sign) \(meaning), and this has no name for one",
                remedy: Self.inQuotes)
        }
        if failure.context.contains("tag") || failure.problem.contains("tag") {
            let start = failure.contextPlace
            return YAMLMistake(
                start, "what begins with ! is a tag, and this one is not known",
                remedy: Self.inQuotes)
        }
        if failure.context.contains("directive") || failure.problem.contains("incompatible YAML") {
            return YAMLMistake(
                YAMLPlace(line: failure.place.line, column: 1), "lines that begin with % are not read",
                remedy: "remove the line")
        }
        if failure.context.contains("block scalar") {
            return YAMLMistake(
                failure.place, "text stands behind | or >", remedy: "begin the text in the next line, indented")
        }
        guard
            failure.problem.contains("cannot start any token") || failure.problem.contains("expected node content"),
            let first = line.scalar(failure.place.column)
        else { return nil }
        if first == "]" || first == "}" {
            return YAMLMistake(
                failure.place, "a value is missing before this \(first)",
                remedy: "write a value, or put it in quotes when it begins with \(first)")
        }
        if failure.context.contains("flow node") {
            return YAMLMistake(failure.place, "a value is missing before this \(first)", remedy: "write one")
        }
        return YAMLMistake(
            failure.place, "a value cannot begin with \(first)",
            remedy: Self.inQuotes)
    }

    /// What is never said here is the value: it may be a secret, and brackets behind it may be no part of it.
    private static let inQuotes = "put the value in quotes, such as '…'"
}

// MARK: Keys

extension YAMLLines {
    fileprivate func keyMistake(_ failure: YAMLFailure) -> YAMLMistake? {
        if failure.problem.contains("could not find expected ':'") {
            return self.lineMistake(failure.contextPlace.line, from: failure.contextPlace.column - 1)
        }
        if failure.problem.contains("sequence entries are not allowed") {
            return YAMLMistake(
                failure.place, "a list cannot begin behind the colon of its key",
                remedy: "begin the list in the next line")
        }
        guard failure.problem.contains("mapping values are not allowed") else { return nil }
        let line = self[failure.place.line]
        let before = line.scalars.prefix(failure.place.column - 1)
        let start = line.start
        // Of two colons in a line the second one is reported.
        for (index, scalar) in before.enumerated() where scalar == ":" && index > start {
            guard before.indices.contains(index + 1), before[index + 1] == " " else { continue }
            let key = String(String.UnicodeScalarView(before[start..<index]))
            return YAMLMistake(
                failure.place, "a second colon with a space behind it stands in this line",
                remedy: "put the value of \(key.shortened) in quotes")
        }
        // The key was read as the rest of the value that the lines above have begun.
        guard let above = self.lineWithContent(above: failure.place.line) else { return nil }
        let other = self[above]
        if let mistake = self.gluedMistake(above, from: other.start) { return mistake }
        guard other.key != nil else { return self.lineMistake(above, from: other.start) }
        return Self.tooDeep(YAMLPlace(line: failure.place.line, column: line.indentation + 1))
    }

    /// What a value has become that goes on in the lines below its own, where one of them was meant as something else.
    func mistake(inPlainFrom start: YAMLPlace, to end: YAMLPlace) -> YAMLMistake? {
        if let mistake = self.gluedMistake(start.line, from: start.column - 1) { return mistake }
        for number in start.line + 1...max(start.line + 1, end.line) where number <= end.line {
            let line = self[number]
            if let mistake = self.gluedMistake(number, from: line.indentation) { return mistake }
            if line.content.hasPrefix("- ") {
                return Self.tooDeep(YAMLPlace(line: number, column: line.indentation + 1))
            }
        }
        return nil
    }

    /// A line that is neither `key: value` nor an element of a list.
    private func lineMistake(_ number: Int, from index: Int) -> YAMLMistake {
        if let mistake = self.gluedMistake(number, from: index) { return mistake }
        let line = self[number]
        let place = YAMLPlace(line: number, column: index + 1)
        let text = line.text(from: index)
        if let above = self.lineWithContent(above: number), self[above].content.hasPrefix("- "),
            self[above].indentation == line.indentation
        {
            return Self.dashMissing(place)
        }
        let words = text.split(maxSplits: 1) { $0 == " " || $0 == "=" }
        // A word alone may be a value, and that a secret.
        let hasValue = words.count > 1 && words[1].contains { $0 != "=" && $0 != " " }
        let key = hasValue ? words.first.map { String($0).shortened } : nil
        return YAMLMistake(
            place, "this is no key, for a colon is missing", remedy: "write \(key ?? "key"): …")
    }

    /// A colon or a dash without the space behind it.
    private func gluedMistake(_ number: Int, from index: Int) -> YAMLMistake? {
        let line = self[number]
        if let (column, key) = line.glued(from: index) {
            return YAMLMistake(
                YAMLPlace(line: number, column: column), "a space is missing behind this colon",
                remedy: "write \(key.shortened): …, or put it in quotes when it is a value")
        }
        let text = line.text(from: index)
        guard text.hasPrefix("-"), let next = text.dropFirst().first, next.isLetter || "\"'{[".contains(next) else {
            return nil
        }
        return YAMLMistake(
            YAMLPlace(line: number, column: index + 1), "a space is missing behind this dash",
            remedy: "write - …, or put it in quotes when it is a value")
    }
}

// MARK: Nesting

extension YAMLLines {
    fileprivate static func tooDeep(_ place: YAMLPlace) -> YAMLMistake {
        YAMLMistake(
            place, "this line is indented below a key that has a value already",
            remedy: "indent it like that key, or remove the key's value")
    }

    fileprivate static func dashMissing(_ place: YAMLPlace) -> YAMLMistake {
        YAMLMistake(
            place, "this line is no element of the list that it stands in",
            remedy: "write - before it, or indent it to where it belongs")
    }

    fileprivate func nestingMistake(_ failure: YAMLFailure) -> YAMLMistake? {
        let place = failure.place
        let line = self[place.line]
        let isFirst = place.column == line.indentation + 1
        if failure.problem.contains("<document start>") { return self.rootMistake(place, isFirst: isFirst) }
        let isKey = failure.problem.contains("expected key")
        guard isKey || failure.problem.contains("expected '-'") else { return nil }
        guard isFirst else {
            if let last = line.scalar(place.column), last == "]" || last == "}" {
                return YAMLMistake(place, "nothing is open that this \(last) closes", remedy: "remove it")
            }
            return YAMLMistake(
                place, "text stands behind a value that is complete", remedy: "put the whole value in quotes")
        }
        let levels = self.levels(above: place.line)
        if isKey, line.content.hasPrefix("- "), levels.contains(where: { $0.indentation == line.indentation }) {
            return YAMLMistake(
                place, "an element of a list stands among keys",
                remedy: "indent the list below its key, and leave nothing behind that key's colon")
        }
        if !isKey, levels.first(where: { $0.indentation <= line.indentation })?.indentation == line.indentation {
            return Self.dashMissing(place)
        }
        if let deepest = levels.first, deepest.indentation < line.indentation { return Self.tooDeep(place) }
        return Self.wrongIndentation(place, levels.filter { $0.indentation != line.indentation })
    }

    /// An indentation that is between those of the keys above.
    private static func wrongIndentation(
        _ place: YAMLPlace, _ levels: [(indentation: Int, name: String)]
    ) -> YAMLMistake {
        let outer = levels.first { $0.indentation < place.column - 1 }
        let inner = levels.last { $0.indentation > place.column - 1 }
        let choices = [outer, inner].compactMap { $0 }.map { level in
            "by \(level.indentation) space\(level.indentation == 1 ? "" : "s") like \(level.name.shortened)"
        }
        return YAMLMistake(
            place, "this line is indented like none of the keys above",
            remedy: choices.isEmpty ? "indent it like one of them" : "indent it \(choices.joined(separator: ", or "))")
    }

    /// The keys above a line that something may stand beside, the deepest first.
    ///
    /// Cost: the lines up to the closest one that is not indented.
    private func levels(above number: Int) -> [(indentation: Int, name: String)] {
        var levels: [(indentation: Int, name: String)] = []
        var number = number
        while let above = self.lineWithContent(above: number), levels.last?.indentation != 0 {
            number = above
            let line = self[above]
            guard line.indentation < levels.last?.indentation ?? .max else { continue }
            if line.start > line.indentation, line.start < levels.last?.indentation ?? .max, let key = line.key {
                levels.append((line.start, "\(key):"))
            }
            let key = line.key.map { "\($0):" } ?? "line \(number)"
            levels.append((line.indentation, line.start > line.indentation ? "the dash above" : key))
        }
        return levels
    }

    /// What follows the outermost value.
    private func rootMistake(_ place: YAMLPlace, isFirst: Bool) -> YAMLMistake {
        if let above = self.lineWithContent(above: place.line), self[above].content == "..." {
            return YAMLMistake(place, "text stands behind the end of the document", remedy: "remove the line ... above")
        }
        if isFirst, let above = self.levels(above: place.line).last, above.indentation > place.column - 1 {
            return YAMLMistake(
                place, "this line is indented less than the first one",
                remedy: "begin all outermost keys in one column")
        }
        return YAMLMistake(
            place, "text stands behind a value that is complete",
            remedy: "write key: value, or put the value in quotes")
    }
}
