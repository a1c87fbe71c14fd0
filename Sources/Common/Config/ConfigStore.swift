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
    /// What was written of keys that the source has already, by their canonical spelling.
    private(set) var repeated: [(canonical: String, entry: Entry)] = []

    /// A source without keys.
    package init(_ rank: Rank) { self.rank = rank }

    /// Adds a key, unless the source has it already: among files the one loaded first keeps a key.
    package mutating func add(_ key: String, _ value: ConfigTree) {
        let (canonical, isAlias) = ConfigAlias.canonical(key)
        let entry = Entry(key: key, value: value, isAlias: isAlias)
        guard let known = self.entries[canonical] else {
            self.entries[canonical] = entry
            return
        }
        let isKept = known.isAlias == isAlias || isAlias
        self.repeated.append((canonical, isKept ? entry : known))
        if !isKept { self.entries[canonical] = entry }
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
    /// Each key with the value of the highest-ranked source, in the order of the keys: families stand together.
    private let merged: [(key: String, entry: ConfigSource.Entry)]

    /// A store of `sources`, in any order.
    package init(_ sources: [ConfigSource]) {
        self.sources = sources.sorted { $0.rank < $1.rank }
        var found: [String: ConfigSource.Entry] = [:]
        for source in self.sources { found.merge(source.entries) { first, _ in first } }
        self.merged = found.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

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
        var (low, high) = (0, self.merged.count)
        while low < high {
            let middle = (low + high) / 2
            if self.merged[middle].key < start { low = middle + 1 } else { high = middle }
        }
        return self.merged[low...].prefix { $0.key.hasPrefix(start) }
            .map { (String($0.key.dropFirst(start.count)), $0.entry) }
    }

    /// What files and the command line say of keys without effect, since they say it twice; with what counts instead.
    var repeated: [(canonical: String, lost: ConfigSource.Entry, kept: ConfigSource.Entry)] {
        // In the environment a name for everybody may stand beside one for this program.
        self.sources.filter { $0.rank == .files || $0.rank == .commandLine }.flatMap { source in
            source.repeated.compactMap { canonical, lost in source.entries[canonical].map { (canonical, lost, $0) } }
        }
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

    /// The keys of which this configuration and another one say different things, in their canonical spelling.
    func keysThatDiffer(from other: ConfigStore) -> [String] {
        let old = Dictionary(other.merged.map { ($0.key, $0.entry.value.plain) }) { first, _ in first }
        let changed = self.merged.filter { old[$0.key] != $0.entry.value.plain }.map(\.key)
        let present = Set(self.merged.map(\.key))
        return (changed + old.keys.filter { !present.contains($0) }).sorted()
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

    /// Behind these the seed writes both `registry` and `Registry`; elsewhere a service may be called so.
    private static let registryPlaces = ["cse.service.", "servicecomb.service.", "servicecomb.", "ssl."]

    /// The canonical spelling of `key`, and whether it was written in another one.
    package static func canonical(_ key: String) -> (key: String, isAlias: Bool) {
        let spelled = Self.withPlainRegistry(key)
        guard spelled.hasPrefix("servicecomb") else { return (spelled, false) }
        for (from, to) in Self.moved where spelled == from || spelled.hasPrefix(from + ".") {
            return (to + spelled.dropFirst(from.count), true)
        }
        return (spelled, false)
    }

    /// All spellings of a key, or of the keys of a pattern; `key` is the canonical one.
    static func spellings(of key: String) -> [String] {
        var found = [key]
        for (from, to) in Self.moved where key == to || key.hasPrefix(to + ".") {
            let spelling = from + key.dropFirst(to.count)
            if Self.canonical(spelling).key == key, !found.contains(spelling) { found.append(spelling) }
        }
        return found
    }

    private static func withPlainRegistry(_ key: String) -> String {
        for place in Self.registryPlaces where key.hasPrefix(place) {
            let word = key.dropFirst(place.count).prefix { $0 != "." }
            guard word.lowercased() == "registry", word != "registry" else { continue }
            let rest = key[word.endIndex...]
            // The tag of a service with this name has a protocol behind it.
            if place == "ssl.", !rest.hasPrefix(".Consumer.") { continue }
            return "\(place)registry\(rest)"
        }
        return key
    }

    /// The newer spelling of a canonical key.
    static func newer(_ key: String) -> String {
        for (from, to) in Self.moved where key == to || key.hasPrefix(to + ".") {
            return from + key.dropFirst(to.count)
        }
        return key
    }
}
