// SPDX-License-Identifier: Apache-2.0

/// What may stand at a place of a YAML file, as far as that can be said without running the program.
///
/// Readers take the names of keys from it, and editors the whole of it as JSON Schema. A shape may take more than its
/// reader does, never less.
package indirect enum Shape: Sendable {
    /// Whatever there is.
    case any
    /// One value; all values are texts to mesher, also `1.10` and `true`.
    case text
    /// One value, for which these are usual.
    case suggested([String])
    /// `true` or `false`, and the other words of ``ConfigKind/bool``.
    case bool
    /// `true` or `false`, no other words.
    case flag
    /// A whole number within the range.
    case integer(ClosedRange<Int>)
    /// One of these numbers.
    case numbers([Int])
    /// 0 to 1, or a percentage.
    case share
    /// 0 to 100, also with a fraction.
    case percent
    /// A time with its unit; a bare 0 where that is in the range.
    case duration(hasZero: Bool)
    /// Bytes, within the range where they are written without a unit.
    case size(ClosedRange<Int>)
    /// One of these names.
    case choice([String], anyCase: Bool)
    /// A text that the expression matches as a whole: what ECMAScript and Python read alike, without groups that capture.
    case matching(String)
    /// A list of these, or one text with commas between them.
    case texts(Shape)
    /// A list of these; one of them stands for a list of it.
    case list(Shape)
    /// A list of these.
    case onlyList(Shape)
    /// A map.
    case map(MapShape)
    /// One of these.
    case either([Shape])
    /// Nothing: a dash, or a name with a colon, and no more.
    case nothing
    /// Keys of the configuration, as a file of it has them.
    case configuration
}

/// The keys of a map.
package struct MapShape: Sendable {
    /// One of them.
    package struct Key: Sendable {
        /// As it is written.
        package let name: String
        /// What may stand behind it.
        package let shape: Shape
        /// What it means, in a sentence.
        package let help: String
        /// Whether its absence is an error.
        package let isRequired: Bool

        /// A key.
        package init(_ name: String, _ shape: Shape, isRequired: Bool = false, _ help: String) {
            self.name = name
            self.shape = shape
            self.help = help
            self.isRequired = isRequired
        }
    }

    /// In the order of the documentation.
    package let keys: [Key]
    /// What stands behind names that users choose; `nil`: there are none.
    package let others: Shape?
    /// Whether another key is an error; else it is worth a warning.
    package let isStrict: Bool
    /// Whether exactly one of the keys has to be there.
    package let isOne: Bool
    /// Keys of which exactly one has to be there; empty where none has.
    package let oneOf: [String]

    /// A map.
    package init(
        _ keys: [Key] = [], others: Shape? = nil, isStrict: Bool = false, isOne: Bool = false, oneOf: [String] = []
    ) {
        self.oneOf = oneOf
        self.keys = keys
        self.others = others
        self.isStrict = isStrict
        self.isOne = isOne
    }

    /// The names of the keys.
    package var names: [String] { self.keys.map(\.name) }
}

extension Shape {
    /// The names of the keys of the map that stands there, or of those of a list.
    var innerNames: [String] {
        switch self {
        case .map(let map): map.names
        case .list(let item), .onlyList(let item): item.innerNames
        default: []
        }
    }
}
