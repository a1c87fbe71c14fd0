// SPDX-License-Identifier: Apache-2.0

/// What a whole number counts, where the key's name or meaning says so: people write the unit all the same.
package enum NumberUnit: Sendable {
    case milliseconds
    case seconds
    case percent
    case requestsPerSecond

    /// The number that somebody meant who has written the unit; `nil` when it is not to be guessed.
    fileprivate func number(in text: String) -> Int? {
        switch self {
        case .milliseconds: return DurationText.meant(by: text).flatMap { Self.whole($0 / .milliseconds(1)) }
        case .seconds: return DurationText.meant(by: text).flatMap { Self.whole($0 / .seconds(1)) }
        case .percent:
            if text.hasSuffix("%") { return Double(text.dropLast().filter { !$0.isWhitespace }).flatMap(Self.whole) }
            return Double(text).flatMap { $0 > 0 && $0 < 1 ? Self.whole($0 * 100) : nil }
        case .requestsPerSecond:
            let digits = text.prefix { $0.isASCII && $0.isNumber }
            let unit = text.dropFirst(digits.count).lowercased().filter { !$0.isWhitespace }
            return ["/s", "/sec", "rps", "qps"].contains(unit) ? Int(digits) : nil
        }
    }

    private static func whole(_ number: Double) -> Int? {
        let rounded = number.rounded()
        return abs(number - rounded) < 1e-6 ? Int(exactly: rounded) : nil
    }

    /// The unit in words, behind a number.
    fileprivate var words: String {
        switch self {
        case .milliseconds: "milliseconds"
        case .seconds: "seconds"
        case .percent: "percent"
        case .requestsPerSecond: "whole requests a second"
        }
    }
}

extension ConfigKind<Int> {
    /// A whole number within a range.
    ///
    /// - Parameter unit: What it counts; a text with that unit is refused with the number that it stands for.
    package static func integer(_ range: ClosedRange<Int>, _ unit: NumberUnit? = nil) -> Self {
        let limits =
            range.upperBound == .max ? "\(range.lowerBound) or more" : "\(range.lowerBound) to \(range.upperBound)"
        return Self("integer, \(limits)", shape: .integer(range), describe: { "\($0)" }) { text throws(ConfigMistake) in
            if let value = Int(text), range.contains(value) { return value }
            if let unit, let meant = unit.number(in: text), range.contains(meant) {
                throw ConfigMistake("\"\(text)\" is not a number", remedy: "write \(meant): the unit is \(unit.words)")
            }
            throw ConfigMistake(
                "\"\(text)\" is not a number in the range",
                remedy: unit.map { "write \($0.words), \(limits)" } ?? "write \(limits)")
        }
    }

    /// Bytes: a number, or one with a unit such as `64KiB` or `1MiB`.
    package static func bytes(_ range: ClosedRange<Int>) -> Self {
        let limits = "\(Self.sizeText(range.lowerBound)) to \(Self.sizeText(range.upperBound))"
        return Self("size in bytes, \(limits)", shape: .size(range), describe: Self.sizeText) {
            text throws(ConfigMistake) in
            if let value = Self.size(text), range.contains(value) { return value }
            let meant = Self.size(text.filter { !$0.isWhitespace }).flatMap { range.contains($0) ? $0 : nil }
            throw ConfigMistake(
                "\"\(text)\" is not a size in the range",
                remedy: meant.map { "write \(Self.sizeText($0))" } ?? "write \(limits), such as 64KiB")
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
        let shape = Shape.duration(hasZero: range.contains(.zero))
        return Self("duration, \(limits)", shape: shape, describe: DurationText.write) { text throws(ConfigMistake) in
            guard let value = DurationText.read(text) else {
                let bare = Int(text).map { [Duration.seconds($0), .milliseconds($0)] } ?? []
                let meant = (DurationText.meant(by: text).map { [$0] } ?? bare).filter { range.contains($0) }
                throw ConfigMistake(
                    "\"\(text)\" is not a duration",
                    remedy: meant.isEmpty
                        ? "write one such as 500ms, 30s or 1h30m"
                        : "write \(meant.map(DurationText.write).joined(separator: " or "))")
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
