// SPDX-License-Identifier: Apache-2.0

/// Reads typed values out of a store, and gathers every mistake instead of stopping at the first.
package struct ConfigReader {
    /// What is read.
    package let store: ConfigStore
    /// The mistakes so far.
    package private(set) var problems: [ConfigProblem] = []

    /// Whether a file could not be read, so that what is missing may be in it.
    package let isPartial: Bool
    /// The address under which other hosts reach this machine.
    package let machineAddress: @Sendable () -> String?

    /// A reader without mistakes yet.
    package init(
        _ store: ConfigStore, isPartial: Bool = false,
        machineAddress: @escaping @Sendable () -> String? = MachineAddress.preferred
    ) {
        self.store = store
        self.isPartial = isPartial
        self.machineAddress = machineAddress
    }

    /// The value of `key`: its default when it is absent or, after a mistake was noted, unreadable.
    package mutating func read<Value>(_ key: ConfigKey<Value>) -> Value {
        self.readIfPresent(key) ?? key.fallback
    }

    /// The value of `key`; `nil` when it is absent or unreadable.
    package mutating func readIfPresent<Value>(_ key: ConfigKey<Value>) -> Value? {
        guard let entry = self.store.entry(key.name) else { return nil }
        guard let text = key.kind.isList ? entry.value.joinedTexts : entry.value.text else {
            let found =
                key.kind.isList ? "a list of maps stands where a list of values" : "a list stands where one value"
            self.note(entry, ConfigMistake("\(found) belongs", remedy: "write one \(key.typeName)"))
            return nil
        }
        do {
            return try key.kind.parse(text)
        } catch {
            self.note(entry, error)
            return nil
        }
    }

    /// Notes a mistake at the place of an entry.
    package mutating func note(_ entry: ConfigSource.Entry, _ mistake: ConfigMistake) {
        self.note(
            ConfigProblem(at: entry.value.location, key: entry.key, mistake.problem, remedy: mistake.remedy))
    }

    /// Notes that something is missing, unless a file could not be read that may have it.
    package mutating func noteMissing(_ problem: ConfigProblem) {
        if !self.isPartial { self.note(problem) }
    }

    /// Notes what was found in a part of an entry.
    package mutating func note(_ part: ConfigPart) { self.problems += part.problems }

    /// Notes a mistake.
    package mutating func note(_ problem: ConfigProblem) { self.problems.append(problem) }
}
