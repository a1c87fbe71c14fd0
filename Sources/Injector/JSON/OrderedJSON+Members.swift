// SPDX-License-Identifier: Apache-2.0

package import Common

extension OrderedJSON {
    /// A member of an object; `nil` when there is none, or it is no object.
    ///
    /// Setting `nil` takes it away.
    package subscript(name: String) -> OrderedJSON? {
        get { self.members.first { $0.0 == name }?.1 }
        set {
            guard case .object(var members) = self else { return }
            let index = members.firstIndex { $0.0 == name }
            switch (index, newValue) {
            case (let index?, let value?): members[index].1 = value
            case (let index?, nil): members.remove(at: index)
            case (nil, let value?): members.append((name, value))
            case (nil, nil): break
            }
            self = .object(members)
        }
    }

    /// The members of an object; empty for anything else.
    var members: [(String, OrderedJSON)] { if case .object(let members) = self { members } else { [] } }

    /// The elements of a list; empty for anything else.
    var elements: [OrderedJSON] { if case .array(let elements) = self { elements } else { [] } }

    /// The text; `nil` when it is none.
    package var text: String? { if case .string(let text) = self { text } else { nil } }

    /// Whether `value` says all of this; it may say more.
    func isPart(of value: JSONValue) -> Bool {
        switch self {
        case .object(let members):
            value.isObject && members.allSatisfy { name, own in value[name].map { own.isPart(of: $0) } ?? false }
        case .array(let elements):
            value.isList && value.elements.count == elements.count
                && zip(elements, value.elements).allSatisfy { $0.isPart(of: $1) }
        case .string(let text): value.text == text
        case .number(let number): value.integer == number
        case .decimal(let text): !value.isText && value.raw == text
        case .bool(let flag): value.flag == flag
        case .null: value.isNull
        }
    }
}
