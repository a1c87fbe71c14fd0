// SPDX-License-Identifier: Apache-2.0

package import Common

extension OrderedJSON {
    /// A value of a document, with numbers as they are written.
    package init(_ value: JSONValue) {
        if value.isObject {
            self = .object(value.members.map { ($0.name, OrderedJSON($0.value)) })
        } else if value.isList {
            self = .array(value.elements.map { OrderedJSON($0) })
        } else if let text = value.text {
            self = .string(text)
        } else if let flag = value.flag {
            self = .bool(flag)
        } else {
            self = value.isNull ? .null : .decimal(value.raw)
        }
    }

    /// Adds a value.
    ///
    /// - Returns: Whether there is a place for it.
    /// - Source: `add` of RFC 6902.
    package mutating func add(_ value: OrderedJSON, at path: ArraySlice<String>) -> Bool {
        guard let name = path.first else {
            self = value
            return true
        }
        let isLast = path.count == 1
        switch self {
        case .object:
            guard var inner = isLast ? value : self[name] else { return false }
            if !isLast, !inner.add(value, at: path.dropFirst()) { return false }
            self[name] = inner
        case .array(var elements):
            let number = name == "-" ? elements.count : Int(name) ?? -1
            if isLast {
                guard 0...elements.count ~= number else { return false }
                elements.insert(value, at: number)
            } else {
                guard elements.indices.contains(number), elements[number].add(value, at: path.dropFirst()) else {
                    return false
                }
            }
            self = .array(elements)
        default: return false
        }
        return true
    }

    /// The same for documents that say the same, whatever the order of their keys is.
    var canonical: [UInt8] { self.sorted.bytes }

    private var sorted: OrderedJSON {
        switch self {
        case .object(let members):
            .object(members.sorted { $0.0 < $1.0 }.map { ($0.0, $0.1.sorted) })
        case .array(let elements): .array(elements.map(\.sorted))
        // 1 is one, wherever it comes from.
        case .number(let number): .decimal("\(number)")
        default: self
        }
    }

    /// In one line.
    var line: String { String(decoding: self.bytes, as: UTF8.self) }

    /// Lines for people.
    ///
    /// - Parameter indentation: What a level begins with, besides those around it.
    package func pretty(indentation: String) -> String { self.pretty(indentation, "") }

    private func pretty(_ step: String, _ outer: String) -> String {
        let inner = outer + step
        func block(_ lines: [String], _ open: String, _ close: String) -> String {
            lines.isEmpty ? open + close : "\(open)\n\(lines.joined(separator: ",\n"))\n\(outer)\(close)"
        }
        return switch self {
        case .object(let members):
            block(members.map { "\(inner)\(OrderedJSON.string($0.0).line): \($0.1.pretty(step, inner))" }, "{", "}")
        case .array(let elements): block(elements.map { inner + $0.pretty(step, inner) }, "[", "]")
        default: self.line
        }
    }
}
