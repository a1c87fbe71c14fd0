// SPDX-License-Identifier: Apache-2.0

/// The lines of a YAML text, as they stand: where the cause of a mistake is looked for.
struct YAMLLines {
    /// One line, without its end.
    struct Line {
        let scalars: [Unicode.Scalar]
        /// How many spaces and tabs it begins with.
        let indentation: Int

        init(_ scalars: [Unicode.Scalar]) {
            self.scalars = scalars
            self.indentation = scalars.prefix { $0 == " " || $0 == "\t" }.count
        }

        /// What stands behind the indentation.
        var content: String { self.text(from: self.indentation) }

        /// Whether there is neither a key nor a value, and no mark between documents.
        var isEmpty: Bool {
            let content = self.content
            return content.isEmpty || content.hasPrefix("#") || content == "---" || content.hasPrefix("%")
        }

        /// The column of the first tab of the indentation.
        var tab: Int? { self.scalars.prefix(self.indentation).firstIndex(of: "\t").map { $0 + 1 } }

        /// What begins at an index, without white space around it.
        func text(from index: Int) -> String {
            var view = String.UnicodeScalarView()
            view.append(contentsOf: self.scalars.dropFirst(index))
            return String(view).trimmed
        }

        /// The scalar in a column; `nil` behind the end.
        func scalar(_ column: Int) -> Unicode.Scalar? {
            self.scalars.indices.contains(column - 1) ? self.scalars[column - 1] : nil
        }

        /// How many spaces, tabs and dashes of lists stand in front of the first key or value.
        var start: Int {
            var index = self.indentation
            while index + 1 < self.scalars.count, self.scalars[index] == "-", self.scalars[index + 1] == " " {
                index += self.scalars[index...].dropFirst().prefix { $0 == " " }.count + 1
            }
            return index
        }

        /// `key:value`, with no space behind the colon, from an index on; `http://x` and `10.0.0.5:80` are none.
        func glued(from index: Int) -> (column: Int, key: String)? {
            let rest = self.scalars.dropFirst(index)
            guard let first = rest.first, first.isKeyStart else { return nil }
            let key = rest.prefix(while: \.isKey)
            let value = rest.dropFirst(key.count).dropFirst()
            guard
                key.endIndex < rest.endIndex, rest[key.endIndex] == ":", let next = value.first,
                next != " ", next != "\t", !value.starts(with: ["/", "/"])
            else { return nil }
            let name = String(String.UnicodeScalarView(key))
            return (key.endIndex + 1, name)
        }

        /// The key of a line such as `key: value` or `key:`; `nil` when it is another one.
        var key: String? {
            let rest = self.scalars.dropFirst(self.start)
            let key = rest.prefix { $0 != ":" && $0 != "\"" && $0 != "'" && $0 != "#" }
            guard !key.isEmpty, key.endIndex < rest.endIndex, rest[key.endIndex] == ":" else { return nil }
            guard [nil, " ", "\t"].contains(self.scalar(key.endIndex + 2)) else { return nil }
            return String(self.text(from: self.start).prefix(key.count))
        }

        /// Whether something stands behind the colon of its key.
        var hasValue: Bool {
            guard let key = self.key else { return false }
            let value = self.text(from: self.start + key.unicodeScalars.count + 1)
            return !value.isEmpty && !value.hasPrefix("#")
        }
    }

    private let bytes: [UInt8]
    /// Where each line begins.
    private let starts: [Int]

    /// Cost: one pass over the bytes, and a word for each line.
    init(_ bytes: [UInt8]) {
        self.bytes = bytes
        var starts = [0]
        var index = 0
        while index < bytes.count {
            let end = Self.lineEnd(bytes, index)
            index += max(1, end)
            if end > 0 { starts.append(index) }
        }
        self.starts = starts
    }

    /// How many bytes end a line at `index`.
    private static func lineEnd(_ bytes: [UInt8], _ index: Int) -> Int {
        func follow(_ others: [UInt8]) -> Bool { bytes[(index + 1)...].starts(with: others) }
        switch bytes[index] {
        case .lineFeed: return 1
        case .carriageReturn: return follow([.lineFeed]) ? 2 : 1
        // NEL, and the separators of lines and paragraphs.
        case 0xc2: return follow([0x85]) ? 2 : 0
        case 0xe2: return follow([0x80, 0xa8]) || follow([0x80, 0xa9]) ? 3 : 0
        default: return 0
        }
    }

    /// How many lines there are.
    var count: Int { self.starts.count }

    /// A line, from 1; an empty one where there is none.
    subscript(number: Int) -> Line {
        guard number >= 1, number <= self.starts.count else { return Line([]) }
        let end = number < self.starts.count ? self.starts[number] : self.bytes.count
        let text = String(decoding: self.bytes[self.starts[number - 1]..<end], as: UTF8.self)
        return Line(Array(text.unicodeScalars.prefix { !$0.isLineEnd }))
    }

    /// The number of the closest line above that has a key or a value; `nil` when there is none.
    func lineWithContent(above number: Int) -> Int? {
        var number = min(number, self.count + 1) - 1
        while number >= 1, self[number].isEmpty { number -= 1 }
        return number >= 1 ? number : nil
    }

    /// The place of a byte.
    func place(ofByte index: Int) -> YAMLPlace {
        let line = (self.starts.firstIndex { $0 > index } ?? self.starts.count) - 1
        let before = self.bytes[self.starts[line]..<min(index, self.bytes.count)]
        return YAMLPlace(line: line + 1, column: String(decoding: before, as: UTF8.self).unicodeScalars.count + 1)
    }

    /// The byte in a column, which lies at or behind a byte of the same line in a column of its own.
    ///
    /// Cost: the bytes between the two.
    func offset(of place: YAMLPlace, from known: (place: YAMLPlace, offset: Int)?) -> Int {
        guard place.line <= self.starts.count else { return self.bytes.count }
        var (column, index) = (1, self.starts[place.line - 1])
        if let known, known.place.line == place.line, known.place <= place {
            (column, index) = (known.place.column, known.offset)
        }
        while column < place.column, index < self.bytes.count {
            column += 1
            index += 1
            while index < self.bytes.count, self.bytes[index] & 0xc0 == 0x80 { index += 1 }
        }
        return index
    }

    /// The last bracket that begins a value and that nothing closes; quotes and comments are passed over.
    ///
    /// Cost: one pass over the text.
    var lastOpenBracket: (bracket: Unicode.Scalar, place: YAMLPlace)? {
        var open: [(bracket: Unicode.Scalar, place: YAMLPlace)] = []
        var quote: Unicode.Scalar?
        for number in 1...self.count {
            let scalars = self[number].scalars
            var before: Unicode.Scalar = ","
            for (index, scalar) in scalars.enumerated() where scalar != " " {
                let beginsValue = ",:[{-".unicodeScalars.contains(before)
                before = scalar
                if let end = quote {
                    if scalar == end { quote = nil }
                    continue
                }
                if scalar == "#", index == 0 || scalars[index - 1] == " " { break }
                switch scalar {
                case "]", "}": _ = open.popLast()
                case "[" where beginsValue, "{" where beginsValue:
                    open.append((scalar, YAMLPlace(line: number, column: index + 1)))
                case "\"" where beginsValue, "'" where beginsValue: quote = scalar
                default: break
                }
            }
        }
        return open.last
    }

    /// Whether `character` stands anywhere from a place on.
    func has(_ character: UInt8, from place: YAMLPlace) -> Bool {
        guard place.line <= self.count else { return false }
        return self.bytes[self.starts[place.line - 1]...].contains(character)
    }

    /// The byte at an index; `nil` behind the end.
    func byte(_ index: Int) -> UInt8? { self.bytes.indices.contains(index) ? self.bytes[index] : nil }

    /// What is wrong with the encoding of the whole.
    var encodingMistake: YAMLMistake? {
        let isUTF16 = self.bytes.starts(with: [0xff, 0xfe]) || self.bytes.starts(with: [0xfe, 0xff])
        guard isUTF16 else { return nil }
        return YAMLMistake(YAMLPlace(line: 1, column: 1), "the file is UTF-16", remedy: "save it as UTF-8")
    }

    /// A line that declares a tag: libyaml compares each with all others, which a few megabytes of them would make endless.
    var directiveMistake: YAMLMistake? {
        guard let index = self.starts.firstIndex(where: { self.bytes[$0...].starts(with: Array("%TAG".utf8)) }) else {
            return nil
        }
        return YAMLMistake(
            YAMLPlace(line: index + 1, column: 1), "%TAG lines are not read", remedy: "remove the line")
    }
}

extension Unicode.Scalar {
    fileprivate var isLineEnd: Bool {
        switch self.value {
        case 0x0a, 0x0d, 0x85, 0x2028, 0x2029: true
        default: false
        }
    }

    fileprivate var isKeyStart: Bool { self.properties.isAlphabetic || self == "_" }

    fileprivate var isKey: Bool {
        self.isKeyStart || self.properties.numericType != nil || self == "-" || self == "."
    }
}

extension String {
    /// The text up to a length that a message can bear.
    var shortened: String { self.count > 60 ? "\(self.prefix(60))…" : self }
}
