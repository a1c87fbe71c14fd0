// SPDX-License-Identifier: Apache-2.0

extension ConfigKind where Value: RawRepresentable & CaseIterable, Value.RawValue == String {
    /// One of the values of an enumeration, by its raw value in any letter case.
    ///
    /// - Parameter noun: What messages call it: `strategy`.
    /// - Parameter aliases: Other words for some of them.
    package static func oneOf(_ type: Value.Type, _ noun: String, aliases: [String: Value] = [:]) -> Self {
        let words =
            Value.allCases.map { ($0.rawValue, $0) } + aliases.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
        let names = words.map(\.0)
        let shape = Shape.choice(names, anyCase: true)
        return Self(Choice.listed(names), shape: shape, describe: \.rawValue) { text throws(ConfigMistake) in
            guard let found = words.first(where: { $0.0.lowercased() == text.lowercased() }) else {
                throw Choice.mistake(text, noun, names)
            }
            return found.1
        }
    }
}

extension ConfigKind {
    /// Several of them with commas between them, each once.
    ///
    /// - Parameter isOptional: Whether there may be none.
    package static func several<Element>(_ kind: ConfigKind<Element>, isOptional: Bool = true) -> Self
    where Element: Equatable, Value == [Element] {
        Self(
            "one or several of \(kind.name)", isList: true, shape: .texts(kind.shape),
            describe: { $0.map { kind.describe($0) }.joined(separator: ",") }
        ) { text throws(ConfigMistake) in
            var values: [Element] = []
            for name in try ConfigKind<[String]>.texts.parse(text) where !name.isEmpty {
                let value = try kind.parse(name)
                guard !values.contains(value) else {
                    throw ConfigMistake("\(name) stands there twice", remedy: "write it once")
                }
                values.append(value)
            }
            if values.isEmpty, !isOptional { values = [try kind.parse("")] }
            return values
        }
    }
}

extension ConfigKind<String> {
    /// One of `names`; any letter case, as it stands in `names`.
    package static func choice(_ names: String...) -> Self {
        Self(Choice.listed(names), shape: .choice(names, anyCase: true), describe: { $0 }) {
            text throws(ConfigMistake) in
            guard let name = names.first(where: { $0.lowercased() == text.lowercased() }) else {
                throw Choice.mistake(text, nil, names)
            }
            return name
        }
    }
}

/// What is said of words that are not among those that there are.
enum Choice {
    static func listed(_ names: [String]) -> String { names.map { "`\($0)`" }.joined(separator: ", ") }

    static func mistake(_ text: String, _ noun: String?, _ names: [String]) -> ConfigMistake {
        let words = names.filter { !$0.isEmpty }
        let problem = noun.map { "unknown \($0) \"\(text)\"" } ?? "\"\(text)\" is not known here"
        let meant = Self.meant(by: text, among: words).map { "write \($0)" }
        return ConfigMistake(problem, remedy: meant ?? "write one of: \(words.joined(separator: ", "))")
    }

    /// The only word that is near, or that the text is a part of or has a part of: `prod` for `production`.
    static func meant(by text: String, among words: [String]) -> String? {
        // Of versions that are as near as each other the newest one stands last.
        if let near = Spelling.nearest(to: text, among: words.reversed()) { return near }
        let written = text.lowercased()
        let alike = words.filter { word in
            let word = word.lowercased()
            return min(word.count, written.count) >= 3 && (word.hasPrefix(written) || written.hasPrefix(word))
        }
        return alike.count == 1 ? alike.first : nil
    }
}
