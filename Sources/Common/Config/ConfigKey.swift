// SPDX-License-Identifier: Apache-2.0

/// One key of the configuration: its name, how its text is read, what it means, and what holds when it is absent.
///
/// The struct that reads a key declares it, and the reference in the documentation is made from the declarations, so
/// neither can say anything else than the program does.
package struct ConfigKey<Value: Sendable>: Sendable, AnyConfigKey {
    /// Dotted.
    package let name: String
    /// How its values are written.
    package let kind: ConfigKind<Value>
    /// What holds when no source has the key.
    package let fallback: Value
    /// What it means.
    package let help: String
    /// When a change takes effect.
    package let reload: ConfigReload

    /// A key.
    ///
    /// - Parameter name: Dotted, in the original's spelling with the prefix `cse.` or `mesher.`.
    /// - Parameter help: One sentence or two, with the unit where the kind does not imply it.
    package init(
        _ name: String, _ kind: ConfigKind<Value>, default fallback: Value, reload: ConfigReload = .restart,
        _ help: String
    ) {
        self.name = name
        self.kind = kind
        self.fallback = fallback
        self.help = help
        self.reload = reload
    }

    package var typeName: String { self.kind.name }
    package var fallbackText: String { self.kind.describe(self.fallback) }
}

/// When a changed value takes effect.
package enum ConfigReload: String, Sendable {
    /// Within a second, without a restart.
    case live
    /// At the next start.
    case restart
}

/// What the reference shows of a key, whatever its type.
package protocol AnyConfigKey: Sendable {
    /// Dotted.
    var name: String { get }
    /// How values are written.
    var typeName: String { get }
    /// The default, as it would be written.
    var fallbackText: String { get }
    /// What it means.
    var help: String { get }
    /// When a change takes effect.
    var reload: ConfigReload { get }
}

/// Why a text is no value of a key.
package struct ConfigMistake: Error, Sendable, Equatable {
    /// What is wrong.
    package let problem: String
    /// What to write instead.
    package let remedy: String

    /// A mistake.
    package init(_ problem: String, remedy: String) {
        self.problem = problem
        self.remedy = remedy
    }
}

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
        return Self("integer", describe: { "\($0)" }) { text throws(ConfigMistake) in
            guard let value = Int(text), range.contains(value) else {
                throw ConfigMistake("\"\(text)\" is not a number in the range", remedy: "write \(limits)")
            }
            return value
        }
    }

    /// Bytes: a number, or one with a unit such as `64KiB` or `1MiB`.
    package static func bytes(_ range: ClosedRange<Int>) -> Self {
        Self("size", describe: Self.sizeText) { text throws(ConfigMistake) in
            guard let value = Self.size(text), range.contains(value) else {
                throw ConfigMistake(
                    "\"\(text)\" is not a size in the range",
                    remedy:
                        "write \(Self.sizeText(range.lowerBound)) to \(Self.sizeText(range.upperBound)), such as 64KiB")
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
        Self("duration", describe: DurationText.write) { text throws(ConfigMistake) in
            guard let value = DurationText.read(text) else {
                throw ConfigMistake("\"\(text)\" is not a duration", remedy: "write one such as 500ms, 30s or 1h30m")
            }
            guard range.contains(value) else {
                throw ConfigMistake(
                    "\"\(text)\" is out of range",
                    remedy: "write \(DurationText.write(range.lowerBound)) to \(DurationText.write(range.upperBound))")
            }
            return value
        }
    }
}

/// Durations in the notation of Go, which the original's configuration uses.
package enum DurationText {
    private static let units: [(name: String, nanoseconds: Double)] = [
        ("ns", 1), ("us", 1e3), ("µs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9),
    ]

    /// `nil` when `text` is no duration.
    ///
    /// A bare 0 is one, any other bare number is not.
    package static func read(_ text: String) -> Duration? {
        if text == "0" { return .zero }
        var rest = text[...]
        var total = 0.0
        guard !rest.isEmpty else { return nil }
        while !rest.isEmpty {
            let digits = rest.prefix { $0.isASCII && $0.isNumber || $0 == "." }
            guard let number = Double(digits) else { return nil }
            rest = rest.dropFirst(digits.count)
            let name = rest.prefix { !($0.isASCII && $0.isNumber) && $0 != "." }
            guard let unit = Self.units.first(where: { $0.name == name }) else { return nil }
            total += number * unit.nanoseconds
            rest = rest.dropFirst(name.count)
        }
        guard total.isFinite, total < 9e18 else { return nil }
        return .nanoseconds(Int64(total))
    }

    /// The shortest way to write it exactly.
    package static func write(_ duration: Duration) -> String {
        let (seconds, attoseconds) = duration.components
        guard attoseconds == 0 else {
            let milliseconds = seconds * 1000 + attoseconds / 1_000_000_000_000_000
            let isExact = attoseconds % 1_000_000_000_000_000 == 0
            return isExact ? "\(milliseconds)ms" : "\(seconds * 1_000_000_000 + attoseconds / 1_000_000_000)ns"
        }
        if seconds == 0 { return "0s" }
        let parts = [(seconds / 3600, "h"), (seconds % 3600 / 60, "m"), (seconds % 60, "s")]
        return parts.filter { $0.0 > 0 }.map { "\($0.0)\($0.1)" }.joined()
    }
}
