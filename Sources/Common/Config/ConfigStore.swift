// SPDX-License-Identifier: Apache-2.0

/// One place that configuration comes from, flattened to dotted keys.
package struct ConfigSource: Sendable {
    /// Which source wins when several have a key: the earliest case.
    package enum Rank: Int, Sendable, CaseIterable, Comparable {
        case remote
        case memory
        case commandLine
        case environment
        case files
        /// Environment variables with names so common that a file's word counts more.
        case fallback

        /// Whether `left` wins over `right`.
        package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
    }

    /// A value and how its key was written.
    package struct Entry: Sendable {
        /// As it was written.
        package let key: String
        /// With its place.
        package let value: ConfigTree
        /// Written in the newer spelling; the seed's wins when both are there.
        let isAlias: Bool
    }

    /// Which sources it wins over.
    package let rank: Rank
    private(set) var entries: [String: Entry] = [:]

    /// A source without keys.
    package init(_ rank: Rank) { self.rank = rank }

    /// Adds a key, unless the source has it already: among files the one loaded first keeps a key.
    package mutating func add(_ key: String, _ value: ConfigTree) {
        let (canonical, isAlias) = ConfigAlias.canonical(key)
        if let known = self.entries[canonical], known.isAlias == isAlias || isAlias { return }
        self.entries[canonical] = Entry(key: key, value: value, isAlias: isAlias)
    }

    /// Puts an entry in the place of what the source says of a key, or takes that away.
    ///
    /// - Parameter key: In its canonical spelling.
    mutating func set(_ key: String, _ entry: Entry?) { self.entries[key] = entry }

    /// Adds all leaves of a file.
    package mutating func add(_ tree: ConfigTree) {
        for (key, value) in tree.flattened() { self.add(key, value) }
    }
}

/// The whole configuration: sources by rank, keys in their canonical spelling.
package struct ConfigStore: Sendable {
    private let sources: [ConfigSource]

    /// A store of `sources`, in any order.
    package init(_ sources: [ConfigSource]) { self.sources = sources.sorted { $0.rank < $1.rank } }

    /// What the highest-ranked source that has `key` says.
    package func entry(_ key: String) -> ConfigSource.Entry? {
        let canonical = ConfigAlias.canonical(key).key
        for source in self.sources {
            if let entry = source.entries[canonical] { return entry }
        }
        return nil
    }

    /// All keys below `prefix`, without it, each with the value of the highest-ranked source.
    package func entries(below prefix: String) -> [(suffix: String, entry: ConfigSource.Entry)] {
        let start = ConfigAlias.canonical(prefix).key + "."
        var found: [String: ConfigSource.Entry] = [:]
        for source in self.sources {
            for (key, entry) in source.entries where key.hasPrefix(start) && found[key] == nil { found[key] = entry }
        }
        return found.sorted { $0.key < $1.key }.map { (String($0.key.dropFirst(start.count)), $0.value) }
    }

    /// Every key of every source, in its canonical spelling.
    package var allKeys: [(canonical: String, rank: ConfigSource.Rank, entry: ConfigSource.Entry)] {
        self.sources.flatMap { source in source.entries.map { ($0.key, source.rank, $0.value) } }.sorted { $0.0 < $1.0 }
    }

    /// Every key and value without places: equal for configurations that say the same.
    package var plain: [String] {
        self.allKeys.map { canonical, rank, entry in "\(rank) \(canonical)=\(entry.value.plain)" }
    }

    /// What the sources of this machine say: all but the configuration server.
    package var local: ConfigStore { ConfigStore(self.sources.filter { $0.rank != .remote }) }

    /// What the configuration server says, as far as it holds.
    package var remote: ConfigSource { self.sources.first { $0.rank == .remote } ?? ConfigSource(.remote) }

    /// The same with the settings of a configuration server above all.
    func adding(_ remote: ConfigSource) -> ConfigStore { ConfigStore(self.sources + [remote]) }

    /// Whether two configurations say different things of a key.
    package func differs(from other: ConfigStore, in key: String) -> Bool {
        self.entry(key)?.value.plain != other.entry(key)?.value.plain
    }
}

/// The two spellings of framework keys.
///
/// The original's keys began with `cse.`, its later versions' with `servicecomb.`; some moved as well. Whatever is
/// written is turned into the older spelling, which the rest of the program uses.
package enum ConfigAlias {
    private static let moved: [(from: String, to: String)] = [
        ("servicecomb.registry", "cse.service.registry"),
        ("servicecomb.service.registry", "cse.service.registry"),
        ("servicecomb.service.app", "APPLICATION_ID"),
        ("servicecomb.service.instanceProperties", "service_description.instance_properties"),
        ("servicecomb.service", "service_description"),
        ("servicecomb.router", "router"),
        ("servicecomb.apm.tracing", "tracing"),
        ("servicecomb.region", "region"),
        ("servicecomb", "cse"),
    ]

    /// The canonical spelling of `key`, and whether it was written in another one.
    package static func canonical(_ key: String) -> (key: String, isAlias: Bool) {
        // The seed writes both `registry` and `Registry`.
        let spelled = key.split(separator: ".", omittingEmptySubsequences: false)
            .map { $0.lowercased() == "registry" ? "registry" : String($0) }.joined(separator: ".")
        for (from, to) in Self.moved where spelled == from || spelled.hasPrefix(from + ".") {
            return (to + spelled.dropFirst(from.count), true)
        }
        return (spelled, false)
    }

    /// The newer spelling of a canonical key.
    static func newer(_ key: String) -> String {
        for (from, to) in Self.moved where key == to || key.hasPrefix(to + ".") {
            return from + key.dropFirst(to.count)
        }
        return key
    }
}
