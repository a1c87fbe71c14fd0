// SPDX-License-Identifier: Apache-2.0

/// Writes shapes as JSON Schema.
///
/// A number may stand in quotes, a name may come from the environment, and all of it is one text to mesher; so most values
/// have several types, and keywords that hold for one of them each: `minimum` for numbers, `pattern` for texts. An `anyOf`
/// in their place would have editors say only that nothing fits.
///
/// - Source: draft 7 of JSON Schema, which all editors know; `patternErrorMessage` and `deprecationMessage` are those of
///   Visual Studio Code's language services.
struct SchemaWriter {
    /// The members of a schema.
    typealias Members = [(String, OrderedJSON)]

    /// Whether texts may have `${NAME}` in them.
    let hasPlaceholders: Bool

    /// The schema of a shape.
    ///
    /// - Parameter isNullable: Whether nothing may stand there.
    func members(_ shape: Shape, isNullable: Bool) -> Members {
        switch shape {
        case .any: return []
        case .text: return [self.types(["string", "number", "boolean"], isNullable)]
        case .suggested(let names):
            return [
                self.types(["string", "number", "boolean"], isNullable),
                ("examples", .array(names.map { .string($0) })),
            ]
        case .bool:
            let words = ["true", "false", "yes", "no", "on", "off"].map(Self.anyCase) + ["1", "0"]
            return [
                self.types(["boolean", "string", "integer"], isNullable), ("minimum", .number(0)),
                ("maximum", .number(1)),
            ] + self.pattern(words.joined(separator: "|"), "write true or false")
        case .flag:
            return [self.types(["boolean", "string"], isNullable)] + self.pattern("true|false", "write true or false")
        case .integer(let range):
            return [self.types(["integer", "string"], isNullable)] + Self.limits(range)
                + self.pattern("[+-]?[0-9]+", "write a whole number")
        case .numbers(let numbers):
            let texts = numbers.map { "\($0)" }
            return self.anyOf([
                [("enum", .array(numbers.map { .number($0) }))],
                [("type", .string("string"))] + self.pattern(texts.joined(separator: "|"), "write one of the numbers"),
            ])
        case .share:
            return [self.types(["number", "string"], isNullable)] + Self.limits(0...1)
                + self.pattern("[0-9.]+(?:[eE]-?[0-9]+)?%?", "write 0 to 1, or a percentage")
        case .percent:
            return [self.types(["number", "string"], isNullable)] + Self.limits(0...100)
                + self.pattern("[0-9.]+", "write 0 to 100, such as 0.5")
        case .duration(let hasZero):
            let number = "[0-9]+(?:\\.[0-9]*)?|\\.[0-9]+"
            let pattern = self.pattern(
                "0|(?:(?:\(number))(?:ns|us|µs|ms|s|m|h))+", "write a time with its unit, such as 500ms, 30s or 1h30m")
            guard hasZero else { return [self.types(["string"], isNullable)] + pattern }
            return [self.types(["string", "integer"], isNullable)] + Self.limits(0...0) + pattern
        case .size(let range):
            return [self.types(["integer", "string"], isNullable)] + Self.limits(range)
                + self.pattern("[0-9]+(?:[kKmMgG]?[bB]?|[kKmMgG][iI][bB])", "write bytes, such as 65536 or 64KiB")
        case .choice(let names, let anyCase): return self.choice(names, anyCase: anyCase, isNullable)
        case .matching(let expression):
            return [self.types(["string"], isNullable)] + self.pattern(expression, nil)
        case .texts(let item):
            let items = ("items", OrderedJSON.object(self.members(item, isNullable: false)))
            guard let expression = Self.expression(item) else {
                return [self.types(["string", "array", "number", "boolean"], isNullable), items]
            }
            let blank = "[ \\t]*"
            let list = "\(blank)(?:(?:\(expression))?\(blank)(?:,\(blank)|$))*"
            return [self.types(["string", "array"], isNullable)]
                + self.pattern(list, "write a list, or texts with commas")
                + [items]
        case .list(let item):
            return self.anyOf([
                self.members(.onlyList(item), isNullable: true), self.members(item, isNullable: isNullable),
            ])
        case .onlyList(let item):
            return [
                self.types(["array"], isNullable), ("items", .object(self.members(item, isNullable: false))),
            ]
        case .map(let map): return [self.types(["object"], isNullable)] + self.keys(of: map)
        case .either(let shapes): return self.anyOf(shapes.map { self.members($0, isNullable: isNullable) })
        case .nothing: return [("type", .string("null"))]
        case .configuration: return [("$ref", .string("#/definitions/\(Self.configuration)"))]
        }
    }

    /// The definition that a document has of ``Shape/configuration``, unless it has no such shape.
    static let configuration = "configuration"

    // MARK: Parts

    /// What an `anyOf` has for each of the schemas; those that are an `anyOf` themselves are taken apart.
    func anyOf(_ schemas: [Members]) -> Members {
        let flat = schemas.flatMap { members -> [OrderedJSON] in
            if members.count == 1, members[0].0 == "anyOf", case .array(let inner) = members[0].1 { return inner }
            return [.object(members)]
        }
        return [("anyOf", .array(flat))]
    }

    private func choice(_ names: [String], anyCase: Bool, _ isNullable: Bool) -> Members {
        let allowed = names.map { OrderedJSON.string($0) } + (isNullable ? [.null] : [])
        let other =
            anyCase
            ? self.pattern(names.map(Self.anyCase).joined(separator: "|"), nil)
            : self.hasPlaceholders ? [("pattern", .string(Self.placeholder))] : []
        guard !other.isEmpty else { return [("enum", .array(allowed))] }
        return self.anyOf([[("enum", .array(allowed))], [("type", .string("string"))] + other])
    }

    private func keys(of map: MapShape) -> Members {
        let properties = map.keys.map { key in
            let members = self.members(key.shape, isNullable: true)
            return (key.name, OrderedJSON.object([("description", .string(key.help))] + members))
        }
        let required = map.keys.filter(\.isRequired).map { OrderedJSON.string($0.name) }
        var members: Members = properties.isEmpty ? [] : [("properties", .object(properties))]
        if !required.isEmpty { members.append(("required", .array(required))) }
        if map.isOne { members += [("minProperties", .number(1)), ("maxProperties", .number(1))] }
        if !map.oneOf.isEmpty {
            let choices = map.oneOf.map { OrderedJSON.object([("required", .array([.string($0)]))]) }
            members.append(("oneOf", .array(choices)))
        }
        if let others = map.others {
            members.append(("additionalProperties", .object(self.members(others, isNullable: true))))
        } else if map.isStrict {
            members.append(("additionalProperties", .bool(false)))
        }
        return members
    }

    private func types(_ names: [String], _ isNullable: Bool) -> (String, OrderedJSON) {
        let all = names + (isNullable ? ["null"] : [])
        return ("type", all.count == 1 ? .string(all[0]) : .array(all.map { .string($0) }))
    }

    private static func limits(_ range: ClosedRange<Int>) -> Members {
        (range.lowerBound == .min ? [] : [("minimum", .number(range.lowerBound))])
            + (range.upperBound == .max ? [] : [("maximum", .number(range.upperBound))])
    }

    // MARK: Expressions

    /// What the environment gives may be anything.
    private static let placeholder = "\\$\\{|\\$INTERNAL_IP"

    private func pattern(_ expression: String, _ message: String?) -> Members {
        let whole = "^(?:\(expression))$"
        let pattern = self.hasPlaceholders ? "\(whole)|\(Self.placeholder)" : whole
        return [("pattern", .string(pattern))] + (message.map { [("patternErrorMessage", .string($0))] } ?? [])
    }

    /// The expression for one of a list in a text; `nil` when it may be anything.
    private static func expression(_ shape: Shape) -> String? {
        switch shape {
        case .choice(let names, let anyCase):
            names.map { anyCase ? self.anyCase($0) : self.escaped($0) }.joined(separator: "|")
        case .matching(let expression): expression
        default: nil
        }
    }

    /// ECMAScript has no way to say that letter case does not count.
    private static func anyCase(_ name: String) -> String {
        name.map { letter in
            let (lower, upper) = (letter.lowercased(), letter.uppercased())
            return lower == upper ? Self.escaped(String(letter)) : "[\(lower)\(upper)]"
        }.joined()
    }

    private static func escaped(_ text: String) -> String {
        text.map { ".^$*+?()[]{}|\\/".contains($0) ? "\\\($0)" : String($0) }.joined()
    }
}
