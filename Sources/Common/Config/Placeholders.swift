// SPDX-License-Identifier: Apache-2.0

/// Replaces `${NAME}`, `${NAME||default}`, `${NAME^^||default}` and `${NAME,,||default}` by environment variables.
///
/// `^^` makes the value upper case, `,,` lower case; the default stands for a variable that is unset or empty, and an
/// unset one without a default for nothing. `$INTERNAL_IP` is the address of the machine. Whatever is not of this form
/// stays as it is.
package enum Placeholders {
    /// `text` with its placeholders replaced; trimmed, when there were any.
    package static func expand(
        _ written: String, environment: [String: String],
        machineAddress: () -> String? = MachineAddress.preferred
    ) -> String {
        var text = written
        if let own = text.range(ofFirst: "$INTERNAL_IP"), let address = machineAddress() {
            text.replaceSubrange(own, with: address)
        }
        guard text.contains("${") else { return text }
        var result = ""
        var rest = text[...]
        while let start = rest.firstIndex(of: "$") {
            result += rest[..<start]
            let body = rest[rest.index(after: start)...]
            if body.first == "{", let end = body.firstIndex(of: "}"),
                let value = Self.value(body[body.index(after: body.startIndex)..<end], environment)
            {
                result += value
                rest = body[body.index(after: end)...]
            } else {
                result += "$"
                rest = body
            }
        }
        return (result + rest).trimmed
    }

    /// What looks like a placeholder in `text` and is none, or stands for nothing; what a default says is not repeated.
    package static func mistakes(in text: String, environment: [String: String]) -> [ConfigMistake] {
        if let foreign = Self.foreign(in: text) { return [foreign] }
        guard text.contains("$") else { return [] }
        if text.hasPrefix("$"), Self.isName(text.dropFirst()), environment[String(text.dropFirst())] != nil {
            return [ConfigMistake("\(text) is not replaced", remedy: "write ${\(text.dropFirst())}")]
        }
        var mistakes: [ConfigMistake] = []
        var rest = text[...]
        while let start = rest.firstRange(of: "${") {
            rest = rest[start.upperBound...]
            let name = rest.prefix { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") }
            if name.isEmpty, let end = rest.firstIndex(of: "}") {
                if let mistake = Self.nameless(rest[..<end]) { mistakes.append(mistake) }
                continue
            }
            guard let first = name.first, !first.isNumber else { continue }
            guard let end = rest.firstIndex(of: "}") else {
                mistakes.append(
                    ConfigMistake("the placeholder ${\(name)… is not closed", remedy: "write } behind it"))
                break
            }
            if let mistake = Self.mistake(name, rest[name.endIndex..<end], environment) { mistakes.append(mistake) }
            rest = rest[rest.index(after: end)...]
        }
        return mistakes
    }

    private static func mistake(
        _ name: Substring, _ tail: Substring, _ environment: [String: String]
    ) -> ConfigMistake? {
        guard Self.isName(name) else {
            return ConfigMistake(
                "${\(name)} is not replaced", remedy: "give the variable a name of two letters or more")
        }
        let plain = tail.hasPrefix("^^") || tail.hasPrefix(",,") ? tail.dropFirst(2) : tail
        if plain.hasPrefix("||") { return nil }
        if plain.hasPrefix(":"), ["env", "sys", "environment"].contains(name.lowercased()),
            Self.isName(plain.dropFirst())
        {
            return ConfigMistake("${\(name):…} is not replaced", remedy: "write ${\(plain.dropFirst())}")
        }
        guard plain.isEmpty else {
            let isForeign = [":", "-", "?", "=", "+", "|"].contains { plain.hasPrefix($0) }
            return ConfigMistake(
                "${\(name)\(plain.prefix { ":-?=+|".contains($0) })…} is not replaced",
                remedy: isForeign ? "write ${\(name)||default}" : "write ${\(name)}")
        }
        guard (environment[String(name)] ?? "").isEmpty else { return nil }
        return ConfigMistake(
            "\(name) is not set, so ${\(name)} stands for nothing", remedy: "set it, or write ${\(name)||default}")
    }

    /// A placeholder without a name: blanks around it, or nothing at all.
    private static func nameless(_ body: Substring) -> ConfigMistake? {
        let name = body.trimmed
        if name.isEmpty { return ConfigMistake("${} names no variable", remedy: "write ${NAME}") }
        guard name.count < body.count, Self.isName(name[...]) else { return nil }
        return ConfigMistake("a placeholder with blanks in it is not replaced", remedy: "write ${\(name)}")
    }

    /// A placeholder of another program, which has been left as it is; the value is not repeated, since it may be a secret.
    private static func foreign(in text: String) -> ConfigMistake? {
        if text == "<no value>" {
            return ConfigMistake("a template has left <no value> here", remedy: "give the template a value")
        }
        let remedy = "write ${NAME} for an environment variable"
        if text.hasPrefix("$"), text != "$INTERNAL_IP", Self.isName(text.dropFirst()),
            text.dropFirst().allSatisfy({ $0.isUppercase || $0.isNumber || $0 == "_" })
        {
            return ConfigMistake("what begins with $ is not replaced without braces", remedy: remedy)
        }
        let signs: [(begin: String, end: String, shown: String)] = [
            ("{{", "}}", "{{…}}"), ("#{", "}", "#{…}"), ("$(", ")", "$(…)"), ("%", "%", "%…%"),
        ]
        for sign in signs {
            guard let start = text.firstRange(of: sign.begin),
                let end = text[start.upperBound...].firstRange(of: sign.end)
            else { continue }
            let body = text[start.upperBound..<end.lowerBound]
            let isOne =
                switch sign.begin {
                case "{{": !body.isEmpty
                // Bytes of URLs are two digits behind %.
                case "%": body.count > 2 && Self.isName(body) && body.allSatisfy { !$0.isLowercase }
                default: Self.isName(body)
                }
            if isOne { return ConfigMistake("\(sign.shown) is not replaced", remedy: remedy) }
        }
        return nil
    }

    private static func value(_ body: Substring, _ environment: [String: String]) -> String? {
        let text = String(body)
        let bars = text.range(ofFirst: "||")
        let expression = text[..<(bars?.lowerBound ?? text.endIndex)]
        let fallback = bars.map { String(text[$0.upperBound...]) } ?? ""
        let isUpper = expression.hasSuffix("^^")
        let isLower = expression.hasSuffix(",,")
        let name = isUpper || isLower ? expression.dropLast(2) : expression
        guard Self.isName(name) else { return nil }
        let found = environment[String(name)].flatMap { $0.isEmpty ? nil : $0 } ?? fallback
        return isUpper ? found.uppercased() : isLower ? found.lowercased() : found
    }

    /// A letter or underscore, then at least one word character.
    private static func isName(_ name: Substring) -> Bool {
        guard let first = name.first, first.isASCII, first.isLetter || first == "_", name.count >= 2 else {
            return false
        }
        return name.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") }
    }
}
