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

    /// A kind.
    package init(
        _ name: String, isList: Bool = false, describe: @escaping @Sendable (Value) -> String,
        parse: @escaping @Sendable (String) throws(ConfigMistake) -> Value
    ) {
        self.name = name
        self.isList = isList
        self.parse = parse
        self.describe = describe
    }
}

extension ConfigKind<String> {
    /// Any text.
    package static var text: Self { Self("text", describe: { $0 }) { text throws(ConfigMistake) in text } }
}

extension ConfigKind<String> {
    /// One of `names`; any letter case, as it stands in `names`.
    package static func choice(_ names: String...) -> Self {
        let type = names.map { "`\($0)`" }.joined(separator: ", ")
        return Self(type, describe: { $0 }) { text throws(ConfigMistake) in
            guard let name = names.first(where: { $0.lowercased() == text.lowercased() }) else {
                let near = Spelling.nearest(to: text, among: names).map { "write \($0)" }
                throw ConfigMistake(
                    "\"\(text)\" is not known here", remedy: near ?? "write one of: \(names.joined(separator: ", "))")
            }
            return name
        }
    }
}

extension ConfigKind<Bool> {
    /// `true` or `false`.
    package static var bool: Self {
        Self("bool", describe: { "\($0)" }) { text throws(ConfigMistake) in
            switch text.lowercased() {
            case "true", "yes", "on", "1": return true
            case "false", "no", "off", "0": return false
            default: throw ConfigMistake("\"\(text)\" is neither true nor false", remedy: "write true or false")
            }
        }
    }
}

extension ConfigKind<Int> {
    /// A whole number within a range.
    package static func integer(_ range: ClosedRange<Int>) -> Self {
        let limits =
            range.upperBound == .max ? "\(range.lowerBound) or more" : "\(range.lowerBound) to \(range.upperBound)"
        return Self(range.lowerBound == .min ? "integer" : "integer, \(limits)", describe: { "\($0)" }) {
            text throws(ConfigMistake) in
            guard let value = Int(text), range.contains(value) else {
                throw ConfigMistake("\"\(text)\" is not a number in the range", remedy: "write \(limits)")
            }
            return value
        }
    }

    /// Bytes: a number, or one with a unit such as `64KiB` or `1MiB`.
    package static func bytes(_ range: ClosedRange<Int>) -> Self {
        let limits = "\(Self.sizeText(range.lowerBound)) to \(Self.sizeText(range.upperBound))"
        return Self("size in bytes, \(limits)", describe: Self.sizeText) { text throws(ConfigMistake) in
            guard let value = Self.size(text), range.contains(value) else {
                throw ConfigMistake(
                    "\"\(text)\" is not a size in the range",
                    remedy: "write \(limits), such as 64KiB")
            }
            return value
        }
    }

    private static func sizeText(_ bytes: Int) -> String {
        for (unit, size) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)]
        where bytes >= size && bytes.isMultiple(of: size) {
            return "\(bytes / size)\(unit)"
        }
        return "\(bytes)"
    }

    private static func size(_ text: String) -> Int? {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        guard let number = Int(digits) else { return nil }
        let factor: Int
        switch text.dropFirst(digits.count).lowercased() {
        case "", "b": factor = 1
        case "k", "kb", "kib": factor = 1 << 10
        case "m", "mb", "mib": factor = 1 << 20
        case "g", "gb", "gib": factor = 1 << 30
        default: return nil
        }
        let (value, overflow) = number.multipliedReportingOverflow(by: factor)
        return overflow ? nil : value
    }
}

extension ConfigKind<Duration> {
    /// A time such as `500ms`, `30s`, `1m` or `1h30m`.
    package static func duration(_ range: ClosedRange<Duration>) -> Self {
        let limits = "\(DurationText.write(range.lowerBound)) to \(DurationText.write(range.upperBound))"
        return Self("duration, \(limits)", describe: DurationText.write) { text throws(ConfigMistake) in
            guard let value = DurationText.read(text) else {
                throw ConfigMistake("\"\(text)\" is not a duration", remedy: "write one such as 500ms, 30s or 1h30m")
            }
            guard range.contains(value) else {
                throw ConfigMistake(
                    "\"\(text)\" is out of range",
                    remedy: "write \(limits)")
            }
            return value
        }
    }
}
