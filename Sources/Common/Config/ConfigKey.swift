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
    package var isList: Bool { self.kind.isList }
    /// That of its kind.
    package var shape: Shape { self.kind.shape }
    package func check(_ text: String) throws(ConfigMistake) { _ = try self.kind.parse(text) }
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
    /// Whether a list of YAML may stand for texts with commas between them.
    var isList: Bool { get }
    /// What may stand behind it, for editors.
    var shape: Shape { get }
    /// Reads a text and forgets it: for keys that nobody reads yet.
    func check(_ text: String) throws(ConfigMistake)
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
