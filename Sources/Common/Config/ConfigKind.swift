// SPDX-License-Identifier: Apache-2.0

/// How a value is written in configuration.
package struct ConfigKind<Value: Sendable>: Sendable {
    /// As the reference names it.
    package let name: String
    /// Reads a text.
    package let parse: @Sendable (String) throws(ConfigMistake) -> Value
    /// Writes a value as its text.
    package let describe: @Sendable (Value) -> String
    /// Whether a list of YAML may stand for texts with commas between them.
    package let isList: Bool
    /// What may stand there, for editors: whatever ``parse`` takes, and as little else as can be said.
    package let shape: Shape

    /// A kind.
    package init(
        _ name: String, isList: Bool = false, shape: Shape, describe: @escaping @Sendable (Value) -> String,
        parse: @escaping @Sendable (String) throws(ConfigMistake) -> Value
    ) {
        self.name = name
        self.isList = isList
        self.shape = shape
        self.parse = parse
        self.describe = describe
    }
}

extension ConfigKind<String> {
    /// Any text.
    package static var text: Self { .text(usual: []) }

    /// Any text; editors offer `names`.
    package static func text(usual names: [String]) -> Self {
        let shape = names.isEmpty ? Shape.text : .suggested(names)
        return Self("text", shape: shape, describe: { $0 }) { text throws(ConfigMistake) in text }
    }
}

extension ConfigKind<Bool> {
    /// `true` or `false`.
    package static var bool: Self {
        Self("bool", shape: .bool, describe: { "\($0)" }) { text throws(ConfigMistake) in
            switch text.lowercased() {
            case "true", "yes", "on", "1": return true
            case "false", "no", "off", "0": return false
            default: throw ConfigMistake("\"\(text)\" is neither true nor false", remedy: "write true or false")
            }
        }
    }
}
