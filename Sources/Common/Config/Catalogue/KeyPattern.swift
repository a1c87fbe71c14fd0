// SPDX-License-Identifier: Apache-2.0

/// The names of a family of keys: `cse.isolation.Consumer[.<service>].timeoutInMilliseconds`.
///
/// What stands in angle brackets is one of the names there or, when there is but one, any name, which may have dots as
/// those of services do; what stands in square brackets may be left out.
package struct KeyPattern: Sendable {
    private enum Part: Equatable {
        case literal(Substring)
        case oneOf([Substring])
        case any

        init(_ text: Substring) {
            guard text.hasPrefix("<") else {
                self = .literal(text)
                return
            }
            let names = text.dropFirst().dropLast().split(separator: "|")
            self = names.count > 1 ? .oneOf(names) : .any
        }

        func accepts(_ part: Substring) -> Bool {
            switch self {
            case .literal(let name): part == name
            case .oneOf(let names): names.contains(part)
            case .any: true
            }
        }
    }

    /// As the reference shows it.
    package let text: String
    private let variants: [[Part]]

    /// A pattern.
    package init(_ text: String) {
        self.text = text
        self.variants = Self.expanded(text).map { $0.split(separator: ".").map { Part($0) } }
    }

    /// The pattern with and without each of its optional parts.
    private static func expanded(_ text: String) -> [String] {
        guard let open = text.firstIndex(of: "["), let close = text[open...].firstIndex(of: "]") else { return [text] }
        let start = text[..<open]
        let rest = text[text.index(after: close)...]
        let optional = text[text.index(after: open)..<close]
        return Self.expanded(String(start + optional + rest)) + Self.expanded(String(start + rest))
    }

    /// Whether it stands for one key only.
    package var isOneKey: Bool { !self.text.contains("<") && !self.text.contains("[") }

    /// Whether `key` is one of the family.
    package func matches(_ key: String) -> Bool {
        let parts = key.split(separator: ".", omittingEmptySubsequences: false)
        return self.variants.contains { Self.matches(parts[...], $0[...]) }
    }

    private static func matches(_ parts: ArraySlice<Substring>, _ pattern: ArraySlice<Part>) -> Bool {
        guard let first = pattern.first else { return parts.isEmpty }
        guard let part = parts.first else { return false }
        let rest = pattern.dropFirst()
        guard first == .any else { return first.accepts(part) && Self.matches(parts.dropFirst(), rest) }
        return (1...parts.count).contains { Self.matches(parts.dropFirst($0), rest) }
    }

    /// Whether keys of the family stand below `key`, which is therefore a map.
    package func isBelow(_ key: String) -> Bool {
        let parts = key.split(separator: ".", omittingEmptySubsequences: false)
        return self.variants.contains { pattern in
            guard pattern.count > parts.count else { return false }
            return zip(pattern, parts).allSatisfy { $0.accepts($1) }
        }
    }

    /// Whether `key` stands below a key of the family, which is therefore no map.
    package func isAbove(_ key: String) -> Bool {
        let parts = key.split(separator: ".", omittingEmptySubsequences: false)
        return (1..<max(parts.count, 1)).contains { self.matches(parts.prefix($0).joined(separator: ".")) }
    }

    /// The spellings in the family of a key that was mistyped, each free part as it was written.
    ///
    /// Families with two free parts are too vague to guess by.
    func spellings(like key: String) -> [String] {
        let parts = key.split(separator: ".", omittingEmptySubsequences: false)
        return self.variants.flatMap { pattern -> [String] in
            let width = parts.count - pattern.count + 1
            guard width >= 1, pattern.count(where: { $0 == .any }) < 2 else { return [] }
            guard pattern.contains(.any) || width == 1 else { return [] }
            var position = 0
            var names = [""]
            for part in pattern {
                let choices: [Substring]
                switch part {
                case .literal(let name): choices = [name]
                case .oneOf(let some): choices = some
                case .any: choices = [Substring(parts[position..<position + width].joined(separator: "."))]
                }
                position += part == .any ? width : 1
                names = names.flatMap { start in choices.map { start.isEmpty ? String($0) : "\(start).\($0)" } }
            }
            return names
        }
    }
}
