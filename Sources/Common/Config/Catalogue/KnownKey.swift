// SPDX-License-Identifier: Apache-2.0

/// A key, or a family of keys, that users of the original or of this program write.
package struct KnownKey: Sendable {
    /// What becomes of a value.
    package enum State: Sendable, Equatable {
        /// It takes effect.
        case active
        /// It is read and checked, and will take effect in a later version.
        case later
        /// It never takes effect; the text says why.
        case unused(String)
    }

    /// Its names.
    package let pattern: KeyPattern
    /// What becomes of a value.
    package let state: State
    /// How values are written.
    package let typeName: String
    /// The default, as it would be written; empty when there is none.
    package let fallbackText: String
    /// What it means.
    package let help: String
    /// When a change takes effect.
    package let reload: ConfigReload
    /// What may stand there, for editors; of a pattern that ends in `<key>`, the map with these keys.
    let shape: Shape
    /// Whether maps and lists may stand here, whose parts are not looked at.
    let isStructured: Bool
    /// Whether a list of texts may stand for one text with commas.
    let isList: Bool
    /// Whether a text is a value.
    private let check: @Sendable (String) -> ConfigMistake?

    /// A key that takes effect.
    package init(_ key: any AnyConfigKey) { self.init(key, pattern: key.name, state: .active) }

    private init(_ key: any AnyConfigKey, pattern: String, state: State, fallback: String? = nil) {
        self.pattern = KeyPattern(pattern)
        self.state = state
        self.typeName = key.typeName
        self.fallbackText = fallback ?? key.fallbackText
        self.help = key.help
        self.reload = key.reload
        self.shape = key.shape
        self.isStructured = false
        self.isList = key.isList
        self.check = { text in
            do throws(ConfigMistake) {
                try key.check(text)
                return nil
            } catch {
                return error
            }
        }
    }

    private init(
        _ pattern: String, state: State, typeName: String, help: String, reload: ConfigReload, shape: Shape
    ) {
        self.pattern = KeyPattern(pattern)
        self.state = state
        self.typeName = typeName
        self.fallbackText = ""
        self.help = help
        self.reload = reload
        self.shape = shape
        self.isStructured = true
        self.isList = true
        self.check = { _ in nil }
    }

    /// A key whose values are checked, and take effect in a later version.
    ///
    /// - Parameter fallback: The default, as it would be written.
    static func later<Value>(
        _ pattern: String, _ kind: ConfigKind<Value>, default fallback: String = "", reload: ConfigReload = .live,
        _ help: String
    ) -> KnownKey {
        // The key's own default is never read: `fallback` is what the reference shows.
        let key = ConfigKey<Value?>(
            pattern,
            ConfigKind<Value?>(kind.name, isList: kind.isList, shape: kind.shape, describe: { _ in "" }) {
                text throws(ConfigMistake) in try kind.parse(text)
            }, default: nil, reload: reload, help)
        return KnownKey(key, pattern: pattern, state: .later, fallback: fallback)
    }

    /// What is wrong with a text as a value; `nil` when nothing is.
    package func mistake(in text: String) -> ConfigMistake? { self.check(text) }

    /// A family of keys with a structure of its own, which takes effect in a later version.
    static func structure(_ pattern: String, _ typeName: String, _ help: String) -> KnownKey {
        KnownKey(pattern, state: .later, typeName: typeName, help: help, reload: .live, shape: .any)
    }

    /// A family of keys with a structure of its own, which takes effect; whoever reads it reviews it.
    static func rules(_ pattern: String, _ typeName: String, _ help: String, _ shape: Shape) -> KnownKey {
        KnownKey(pattern, state: .active, typeName: typeName, help: help, reload: .live, shape: shape)
    }

    /// A key that is accepted and has no effect.
    static func unused(_ pattern: String, _ why: String) -> KnownKey {
        KnownKey(pattern, state: .unused(why), typeName: "any", help: why, reload: .restart, shape: .any)
    }
}

/// Keys that belong together in the reference.
package struct KeyGroup: Sendable {
    /// The heading.
    package let title: String
    /// The file in which users write them.
    package let file: String
    /// In the order of the reference.
    package let keys: [KnownKey]

    init(_ title: String, in file: String, _ keys: [KnownKey]) {
        self.title = title
        self.file = file
        self.keys = keys
    }
}
