// SPDX-License-Identifier: Apache-2.0

/// One side of calls, as the keys of governance name it.
package enum CallSide: String, Sendable, CaseIterable {
    /// Calls of other services.
    case consumer = "Consumer"
    /// Calls of the local application.
    case provider = "Provider"
}

/// A family of keys with a value for all services and others for single ones:
/// `cse.isolation.Consumer.timeoutInMilliseconds` and `cse.isolation.Consumer.<service>.timeoutInMilliseconds`.
package struct ScopedKey<Value: Sendable>: Sendable {
    /// What stands before the service's name.
    let prefix: String
    /// Whether `Consumer` or `Provider` follows the prefix.
    let hasSide: Bool
    /// What stands behind it; all spellings mean the same, the first wins.
    let leaves: [String]
    /// How values are written.
    let kind: ConfigKind<Value>
    /// What holds when no key is there.
    package let fallback: Value
    /// What it means.
    let help: String

    /// A family.
    init(
        _ prefix: String, hasSide: Bool = false, _ leaves: String..., kind: ConfigKind<Value>, default fallback: Value,
        _ help: String
    ) {
        self.prefix = prefix
        self.hasSide = hasSide
        self.leaves = leaves
        self.kind = kind
        self.fallback = fallback
        self.help = help
    }

    /// The family as the reference shows it, a row for each spelling.
    var known: [KnownKey] {
        let side = self.hasSide ? ".<Consumer|Provider>" : ""
        return self.leaves.map { leaf in
            KnownKey(
                ConfigKey(
                    "\(self.prefix)\(side)[.<service>].\(leaf)", self.kind, default: self.fallback, reload: .live,
                    leaf == self.leaves[0] ? self.help : "The same as `\(self.leaves[0])`."))
        }
    }
}

/// The values of a ``ScopedKey``.
package struct Scoped<Value: Sendable>: Sendable {
    /// For all services that have none of their own; `nil` when nothing was written.
    package var global: Value?
    /// By service.
    package var services: [String: Value] = [:]

    /// Nothing written.
    package init() {}

    /// What was written for a service, or for all.
    package subscript(service: String) -> Value? { self.services[service] ?? self.global }

    /// The same, or what the key's declaration says where nothing was written.
    subscript(service: String, key: ScopedKey<Value>) -> Value { self[service] ?? key.fallback }
}

extension ConfigReader {
    /// The values of a family; mistakes are noted, and leave their key out.
    mutating func read<Value>(_ key: ScopedKey<Value>, side: CallSide? = nil) -> Scoped<Value> {
        var scoped = Scoped<Value>()
        let prefix = key.hasSide ? "\(key.prefix).\(side?.rawValue ?? "")" : key.prefix
        let entries = self.store.entries(below: prefix)
        for leaf in key.leaves {
            for (suffix, _) in entries where suffix == leaf || suffix.hasSuffix(".\(leaf)") {
                let service = String(suffix.dropLast(leaf.count).dropLast())
                guard service.isEmpty ? scoped.global == nil : scoped.services[service] == nil else { continue }
                let single = ConfigKey<Value>(
                    "\(prefix).\(suffix)", key.kind, default: key.fallback, reload: .live, key.help)
                guard let value = self.readIfPresent(single) else { continue }
                if service.isEmpty { scoped.global = value } else { scoped.services[service] = value }
            }
        }
        return scoped
    }
}
