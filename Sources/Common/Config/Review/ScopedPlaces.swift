// SPDX-License-Identifier: Apache-2.0

/// A key of a family as it was written: whose it is, and its value; nobody's counts for all services.
struct ScopedPlace {
    let service: String
    let entry: ConfigSource.Entry
}

/// The keys of a family as they were written.
struct ScopedPlaces {
    /// By their keys.
    let all: [ScopedPlace]
    private let places: [String: Int]

    init(_ all: [ScopedPlace]) {
        self.all = all
        self.places = Dictionary(all.enumerated().map { ($1.service, $0) }) { first, _ in first }
    }

    var isEmpty: Bool { self.all.isEmpty }

    /// The key of a service alone, or, for nobody, that of all.
    subscript(service: String) -> ConfigSource.Entry? { self.places[service].map { self.all[$0].entry } }

    /// The text that counts for a service: its own, or else that for all.
    func text(for service: String) -> String? { (self[service] ?? self[""])?.value.text }
}

extension EffectReview {
    /// All keys below `prefix`, without it; found once, since that is a look at every key there is.
    mutating func entries(below prefix: String) -> [(suffix: String, entry: ConfigSource.Entry)] {
        if let known = self.found[prefix] { return known }
        let entries = self.store.entries(below: prefix)
        self.found[prefix] = entries
        return entries
    }

    /// Where the keys of a family are written.
    mutating func places<Value>(of key: ScopedKey<Value>, _ side: CallSide? = nil) -> ScopedPlaces {
        let prefix = key.hasSide ? "\(key.prefix).\(side?.rawValue ?? "")" : key.prefix
        let places = self.entries(below: prefix).compactMap { suffix, entry -> ScopedPlace? in
            guard let leaf = key.leaves.first(where: { suffix == $0 || suffix.hasSuffix(".\($0)") }) else {
                return nil
            }
            return ScopedPlace(service: String(suffix.dropLast(leaf.count).dropLast()), entry: entry)
        }
        return ScopedPlaces(places)
    }
}
