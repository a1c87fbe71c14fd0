// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// A directory out of those of several registries.
///
/// Each name belongs to the first one that has it, as a whole: instances are never mixed.
extension ServiceDirectory {
    /// The directory of `parts`, in the order of the registries; the part itself when there is one only.
    ///
    /// Cost: that of what has changed since `previous` was made of them.
    package static func merging(_ parts: [ServiceDirectory], upon previous: ServiceDirectory?) -> ServiceDirectory {
        guard parts.count > 1 else { return parts.first ?? .empty }
        let previous = previous.flatMap { $0.parts.count == parts.count ? $0 : nil }
        return ServiceDirectory(
            NameTable.merging(
                parts.map(\.names), upon: previous.map { (tables: $0.parts.map(\.names), merged: $0.names) }),
            upon: previous, index: parts.first { !$0.index.services.isEmpty }?.index ?? parts[0].index,
            isSynced: parts.allSatisfy(\.isSynced), isComplete: parts.allSatisfy(\.isComplete), ownApp: "",
            parts: parts)
    }

    /// The part that has the service of this name; `nil` when none has.
    package func part(with name: String) -> Int? {
        self.parts.firstIndex { $0.names[spelled: name] != nil }
    }

    /// The names that more than one part has, in order.
    package var shared: [String] {
        guard self.parts.count > 1 else { return [] }
        var names: Set<String> = []
        for shard in 0..<NameTable<Service>.shardCount {
            let filled = self.parts.map { $0.names.shards[shard] }.filter { !$0.entries.isEmpty }
            // A shard that only one part has anything in is that part's own.
            guard filled.count > 1 else { continue }
            for (place, later) in filled.enumerated().dropFirst() {
                for entry in later.entries
                where filled[..<place].contains(where: { $0.value(spelled: entry.name.rawSpan, entry.hash) != nil }) {
                    names.insert(entry.value.name)
                }
            }
        }
        return names.sorted()
    }

    /// Whoever has the name answers for it alone; of a name that nobody has, all have to know that.
    func absenceInParts(of demand: ServiceDemand, at now: NIODeadline) -> Absence.Reason? {
        if let part = self.part(with: demand.name) { return self.parts[part].absence(of: demand, at: now) }
        var reason = Absence.Reason.unknown
        for part in self.parts {
            switch part.absence(of: demand, at: now) {
            case nil: return nil
            case .unreachable: reason = .unreachable
            case .unknown: break
            }
        }
        return reason
    }

    func partsSettle(_ demand: ServiceDemand, at now: NIODeadline) -> Bool {
        if let part = self.part(with: demand.name) { return self.parts[part].settles(demand, at: now) }
        return self.parts.allSatisfy { $0.settles(demand, at: now) }
    }
}
