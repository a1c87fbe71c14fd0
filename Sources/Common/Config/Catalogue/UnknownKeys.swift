// SPDX-License-Identifier: Apache-2.0

/// Says of keys that nobody knows what they may have been meant to be.
struct UnknownKeys {
    private let store: ConfigStore
    /// A file full of strange keys is not a file full of slips.
    private var guesses = 1000

    init(_ store: ConfigStore) { self.store = store }

    /// Parts of the configuration where a mistyped key changes what becomes of requests: routing, TLS and limits.
    private static let strictParts = [
        "routeRule", "cse.routeRule", "cse.darklaunch", "sourceTemplate", "cse.match", "cse.rateLimiting",
        "cse.flowcontrol", "egressRule", "mesh", "ssl", "mesher.limits",
    ]

    private static func isStrict(_ key: String) -> Bool {
        Self.strictParts.contains { key.hasPrefix($0) && (key.count == $0.count || key.hasPrefix("\($0).")) }
    }

    /// - Parameter finding: What the index says of the key: no family has it.
    mutating func problem(
        _ canonical: String, _ rank: ConfigSource.Rank, _ entry: ConfigSource.Entry, _ finding: KeyIndex.Finding
    ) -> ConfigProblem {
        if let mistake = Self.misshapen(finding) {
            return ConfigProblem(at: entry.value.location, key: entry.key, mistake.problem, remedy: mistake.remedy)
        }
        var near: String?
        var home: String?
        var remedy = "remove it"
        if self.guesses > 0 {
            self.guesses -= 1
            near = ConfigCatalogue.index.nearest(to: canonical) ?? self.outermost(of: canonical, entry)
            if near == nil { home = self.home(of: canonical, entry) }
            if near == nil {
                remedy =
                    home.map { "it belongs at \(Self.respelled($0, like: entry))" }
                    ?? self.place(of: canonical, entry, finding) ?? remedy
            }
        }
        // A variable of the environment may be somebody else's.
        let mayRefuse = rank != .environment && rank != .fallback
        let isMeantHere =
            near != nil || !canonical.contains(".") || ConfigReview.isOurs(canonical)
            || home?.hasSuffix(".\(canonical)") == true
        let isMeantStrict = isMeantHere && (near ?? home).map(Self.isStrict) ?? false
        let isStrict = mayRefuse && (Self.isStrict(canonical) || isMeantStrict || Self.isTooFarOut(canonical))
        return .unknown(
            entry.key, isStrict ? .error : .warning, at: entry.value.location,
            near: near.map { Self.respelled($0, like: entry) }, remedy: remedy)
    }

    /// Whether the map below which a key belongs is of a strict part: `mesher.connections`.
    private static func isTooFarOut(_ key: String) -> Bool {
        guard let dot = key.lastIndex(of: "."), let map = ConfigCatalogue.index.maps(around: key).first else {
            return false
        }
        return Self.isStrict("\(key[..<dot]).\(map)\(key[dot...])")
    }

    /// A map where a value belongs, or the other way round.
    private static func misshapen(_ finding: KeyIndex.Finding) -> ConfigMistake? {
        if let above = finding.above.map({ ConfigCatalogue.all[$0] }), !above.isStructured {
            if case .onlyList(.map) = above.shape {
                return ConfigMistake("a map stands where a list belongs", remedy: "write - before it")
            }
            return ConfigMistake("a map stands where one value belongs", remedy: "write one \(above.typeName)")
        }
        return finding.below.map { below in
            ConfigMistake(
                "one value stands where a map belongs",
                remedy: "write keys below it, such as \(ConfigCatalogue.all[below].pattern.text)")
        }
    }

    /// A key of a file's own family whose first part is missing or another: `tls.` for `ssl.` in `tls.yaml`.
    private func outermost(of key: String, _ entry: ConfigSource.Entry) -> String? {
        guard entry.value.location.source.hasSuffix("/tls.yaml") else { return nil }
        let first = key.prefix { $0 != "." }
        let isOther = ["tls", "ssl", "https"].contains(first.lowercased())
        let meant = isOther ? "ssl\(key[first.endIndex...])" : "ssl.\(key)"
        return ConfigCatalogue.index.find(meant).key == nil ? nil : meant
    }

    /// The one key or family that a key has the end of, and is meant to be.
    private func home(of key: String, _ entry: ConfigSource.Entry) -> String? {
        guard ConfigCatalogue.index.maps(around: key).isEmpty || !key.contains(".") else { return nil }
        let file = entry.value.location.source
        for numbers in ConfigCatalogue.index.families(endingLike: key) {
            let families = numbers.filter { number in
                let known = ConfigCatalogue.all[number]
                guard known.state == .active else { return false }
                return !known.pattern.isOneKey || self.store.entry(known.pattern.text) == nil
            }
            let here = families.filter { file.hasSuffix(ConfigCatalogue.files[$0]) }
            guard let only = families.count == 1 ? families.first : here.count == 1 ? here.first : nil else { continue }
            return ConfigCatalogue.all[only].pattern.text
        }
        return nil
    }

    /// Where a key belongs that stands in the wrong place, and has the end of no one family.
    private func place(
        of key: String, _ entry: ConfigSource.Entry, _ finding: KeyIndex.Finding
    ) -> String? {
        let maps = ConfigCatalogue.index.maps(around: key)
        if let first = maps.first, let dot = key.lastIndex(of: ".") {
            let place = Self.respelled("\(key[..<dot]).\(first)\(key[dot...])", like: entry)
            return "it belongs below \(Self.listed(maps)): \(place)"
        }
        if let stray = ConfigCatalogue.index.stray(in: key) {
            return "write \(Self.listed(stray.names)) for \(stray.part)"
        }
        return finding.belowName.map { below in
            "remove it, or write keys below it, such as \(ConfigCatalogue.all[below].pattern.text)"
        }
    }

    /// A key of a family for anybody's names that is nearly one of another family: `Provider.incomming`; `nil` for others.
    static func slip(_ key: String, _ rank: ConfigSource.Rank, _ entry: ConfigSource.Entry) -> ConfigProblem? {
        guard let meant = ChainConfig.meant(by: key) else { return nil }
        let isOwn = rank != .environment && rank != .fallback
        return .unknown(
            entry.key, isOwn ? .error : .warning, at: entry.value.location, near: Self.respelled(meant, like: entry))
    }

    private static func listed(_ names: [String]) -> String {
        names.count < 2
            ? names.joined() : names.dropLast().joined(separator: ", ") + " or " + (names.last ?? "")
    }

    /// A suggestion in the spelling that the user writes.
    private static func respelled(_ suggestion: String, like entry: ConfigSource.Entry) -> String {
        guard entry.key.hasPrefix("servicecomb.") else { return suggestion }
        return ConfigAlias.newer(suggestion)
    }
}
