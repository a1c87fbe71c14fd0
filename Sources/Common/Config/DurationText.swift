// SPDX-License-Identifier: Apache-2.0

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

    private static let words: [(name: String, unit: String)] = [
        ("milliseconds", "ms"), ("millisecond", "ms"), ("millis", "ms"), ("msec", "ms"), ("seconds", "s"),
        ("second", "s"), ("secs", "s"), ("sec", "s"), ("minutes", "m"), ("minute", "m"), ("mins", "m"), ("min", "m"),
        ("hours", "h"), ("hour", "h"), ("hrs", "h"), ("hr", "h"),
    ]

    /// The duration that somebody meant who wrote blanks, words or days; `nil` for bare numbers and for anything else.
    static func meant(by text: String) -> Duration? {
        let plain = text.lowercased().filter { !$0.isWhitespace }
        guard !plain.isEmpty, !plain.allSatisfy({ $0.isNumber || $0 == "." }) else { return nil }
        if let duration = Self.read(plain) { return duration }
        for days in ["days", "day", "d"] where plain.hasSuffix(days) {
            return Int(plain.dropLast(days.count)).flatMap { $0 < 100_000 ? .seconds($0 * 86_400) : nil }
        }
        guard let word = Self.words.first(where: { plain.hasSuffix($0.name) }) else { return nil }
        return Self.read(String(plain.dropLast(word.name.count)) + word.unit)
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
