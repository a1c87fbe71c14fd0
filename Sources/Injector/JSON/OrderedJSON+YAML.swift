// SPDX-License-Identifier: Apache-2.0

package import Common

extension OrderedJSON {
    /// What a YAML tree says, with plain words read as Kubernetes' own tools do.
    ///
    /// - Parameter quoted: Where texts have quotes: those stay texts, so that `"yes"` is no `true`.
    /// - Source: YAML 1.1, as kubectl has it.
    package init(_ tree: ConfigTree, quoted: Set<ConfigLocation>) {
        self =
            switch tree {
            case .text(let text, let location): quoted.contains(location) ? .string(text) : Self.scalar(text)
            case .list(let list, _): .array(list.map { OrderedJSON($0, quoted: quoted) })
            case .map(let entries, _):
                .object(entries.map { ($0.key, OrderedJSON($0.value, quoted: quoted)) })
            case .null: .null
            }
    }

    /// What a word without quotes means.
    private static func scalar(_ text: String) -> OrderedJSON {
        // A word of a kind in one of three letter cases: `yes`, `Yes`, `YES`.
        let isWord = text == text.lowercased() || text == text.uppercased() || text == text.capitalizedWord
        if isWord, let flag = ["y", "yes", "on", "true"].contains(text.lowercased()) ? true : Self.no(text) {
            return .bool(flag)
        }
        if isWord, text.lowercased() == "null" { return .null }
        let digits = text.first == "-" || text.first == "+" ? text.dropFirst() : text[...]
        guard let first = digits.first, first.isASCII, first.isNumber || first == "." else { return .string(text) }
        if let number = Self.integer(text, digits) { return .number(number) }
        if (try? JSONDocument(Array(text.utf8))) != nil { return .decimal(text) }
        if let number = Double(text), number.isFinite, digits.allSatisfy({ $0.isNumber || ".eE+-".contains($0) }) {
            return .decimal("\(number)")
        }
        return .string(text)
    }

    private static func no(_ text: String) -> Bool? {
        ["n", "no", "off", "false"].contains(text.lowercased()) ? false : nil
    }

    private static func integer(_ text: String, _ digits: Substring) -> Int? {
        let sign = text.first == "-" ? -1 : 1
        for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] where digits.hasPrefix(prefix) {
            return Int(digits.dropFirst(2), radix: radix).map { sign * $0 }
        }
        if digits.count > 1, digits.first == "0", digits.allSatisfy({ "01234567".contains($0) }) {
            return Int(digits, radix: 8).map { sign * $0 }
        }
        return digits.allSatisfy { $0.isASCII && $0.isNumber } ? Int(text) : nil
    }
}

extension String {
    /// The word with its first letter alone in upper case.
    fileprivate var capitalizedWord: String { self.prefix(1).uppercased() + self.dropFirst().lowercased() }
}
