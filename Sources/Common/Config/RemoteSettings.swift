// SPDX-License-Identifier: Apache-2.0

extension ConfigSource {
    /// The settings of a configuration server: keys and their texts.
    ///
    /// The place of each entry has its key in it, so that a mistake, wherever in the value it is, tells which key is to blame.
    ///
    /// - Parameter server: How messages name it: `kie http://127.0.0.1:30110`.
    package init(remote settings: [String: String], from server: String) {
        self.init(.remote)
        // In order, or it would be chance which of two spellings of a key counts.
        for (key, value) in settings.sorted(by: { $0.key < $1.key }) {
            self.add(key, .text(value, ConfigLocation("\(server), \(key)")))
        }
    }

    /// The keys of which this source and another one say different things.
    package func keysThatDiffer(from other: ConfigSource) -> [String] {
        let keys = Set(self.entries.keys).union(other.entries.keys)
        return keys.filter { self.entries[$0]?.value.plain != other.entries[$0]?.value.plain }.sorted()
    }

    /// The canonical keys by the places of their entries.
    fileprivate var keysByPlace: [String: String] {
        Dictionary(self.entries.map { ($1.value.location.source, $0) }, uniquingKeysWith: { first, _ in first })
    }
}

extension ConfigLoader {
    /// Lays the settings of a configuration server over the sources of this machine.
    ///
    /// Mistakes in those are mistakes as ever. A value of the server that is one is put aside, and what the key had before
    /// stays; everything else of the server counts.
    ///
    /// - Parameter remote: All that the server says.
    /// - Parameter held: What of its settings holds until now.
    /// - Parameter local: The sources of this machine; `nil` to read them again.
    package func examine(
        remote: ConfigSource, upon held: ConfigSource, local known: ConfigStore? = nil
    ) -> Result {
        var problems: [ConfigProblem] = []
        let local = known ?? self.readSources(&problems)
        let base = self.read(local, problems)
        if base.hasErrors || remote.entries.isEmpty { return base }
        var (settings, notes) = Self.relevant(remote)
        var refused: [ConfigProblem] = []
        // Each round puts at least one value aside: the new one first, then the one that it had taken the place of.
        for _ in 0..<4 {
            let result = self.read(local.adding(settings), problems + notes)
            guard result.hasErrors else { return result.refusing(refused) }
            let places = settings.keysByPlace
            var blamed: Set<String> = []
            for mistake in result.problems where mistake.severity == .error {
                guard let key = places[mistake.location.source], blamed.insert(key).inserted else { continue }
                refused.append(mistake)
            }
            if blamed.isEmpty { break }
            for key in blamed {
                let old = held.entries[key]
                let isNew = old?.value.plain != settings.entries[key]?.value.plain
                settings.set(key, isNew ? old : nil)
            }
        }
        // Nothing is wrong with either alone, so no key can be named.
        refused.append(
            ConfigProblem(
                at: ConfigLocation("configuration server"), "the settings do not go with the files of this machine",
                remedy: "compare what both say of the same part"))
        let result = self.read(local.adding(held), problems)
        return (result.hasErrors ? base : result).refusing(refused)
    }

    /// Leaves out the application's own settings, which share the server, and what the server says too late: keys that are
    /// read at a start, before it is asked.
    private static func relevant(_ remote: ConfigSource) -> (ConfigSource, [ConfigProblem]) {
        var settings = remote
        var notes: [ConfigProblem] = []
        for (key, entry) in remote.entries {
            guard let known = ConfigCatalogue.key(key) else {
                if !ConfigReview.isOurs(key) { settings.set(key, nil) }
                continue
            }
            guard known.state == .active, known.reload == .restart else { continue }
            settings.set(key, nil)
            notes.append(
                ConfigProblem(
                    .note, at: entry.value.location, key: entry.key,
                    "has no effect here: it is read at a start, before the server is asked; write it into a file"))
        }
        return (settings, notes)
    }
}

extension ConfigLoader.Result {
    fileprivate func refusing(_ refused: [ConfigProblem]) -> Self {
        Self(config: self.config, store: self.store, problems: self.problems, refused: refused)
    }
}
