// SPDX-License-Identifier: Apache-2.0

/// The names of a family of keys: `cse.isolation.Consumer[.<service>].timeoutInMilliseconds`.
///
/// What stands in angle brackets is one of the names there or, when there is but one, any name, which may have dots as
/// those of services do; what stands in square brackets may be left out.
package struct KeyPattern: Sendable {
    /// What stands between two dots.
    enum Part: Equatable, Sendable {
        case literal(String)
        case oneOf([String])
        case any

        init(_ text: Substring) {
            guard text.hasPrefix("<") else {
                self = .literal(String(text))
                return
            }
            let names = text.dropFirst().dropLast().split(separator: "|").map(String.init)
            self = names.count > 1 ? .oneOf(names) : .any
        }

        /// The names that it stands for; none when it is any.
        var names: [String] {
            switch self {
            case .literal(let name): [name]
            case .oneOf(let names): names
            case .any: []
            }
        }
    }

    /// As the reference shows it.
    package let text: String
    /// With and without each of its optional parts.
    let variants: [[Part]]

    /// A pattern.
    package init(_ text: String) {
        self.text = text
        self.variants = Self.expanded(text).map { $0.split(separator: ".").map { Part($0) } }
    }

    /// The pattern with and without each of its optional parts.
    static func expanded(_ text: String) -> [String] {
        guard let open = text.firstIndex(of: "["), let close = text[open...].firstIndex(of: "]") else { return [text] }
        let start = text[..<open]
        let rest = text[text.index(after: close)...]
        let optional = text[text.index(after: open)..<close]
        return Self.expanded(String(start + optional + rest)) + Self.expanded(String(start + rest))
    }

    /// Whether it stands for one key only.
    package var isOneKey: Bool { !self.text.contains("<") && !self.text.contains("[") }
}
