// SPDX-License-Identifier: Apache-2.0

/// The counters of callers by name: so many and no more, as anybody may give itself a new name with each request.
///
/// While there is no place left, those that have been silent for long lose theirs.
struct CallerTable {
    private struct Entry {
        var shards: [RequestCounters] = []
        /// How many requests there were, and since when there have been no others.
        var seen: (requests: Int, since: ContinuousClock.Instant)?
    }

    /// Callers that have counters of their own.
    static let most = 100
    /// How long a caller has to be silent.
    static let silence = Duration.seconds(600)
    /// They stand for several callers.
    private static let common: Set<String> = [MetricsRegistry.otherCaller, MetricsRegistry.unknownCaller]

    private var entries: [String: Entry] = [:]

    private var isFull: Bool { self.entries.count - Self.common.count { self.entries[$0] != nil } >= Self.most }

    /// Counters for one event loop alone; `nil` when the name is one too many.
    mutating func counters(_ name: String) -> RequestCounters? {
        guard Self.common.contains(name) || self.entries[name] != nil || !self.isFull else { return nil }
        let counters = RequestCounters()
        self.entries[name, default: Entry()].shards.append(counters)
        return counters
    }

    /// The counters of all event loops, by caller.
    var shards: [String: [RequestCounters]] { self.entries.mapValues(\.shards) }

    /// Looks who is silent, while there is no place left.
    ///
    /// - Returns: Whether somebody has lost its place; its counters are retired.
    mutating func age(at now: ContinuousClock.Instant) -> Bool {
        guard self.isFull else { return false }
        var hasChanged = false
        for (name, entry) in self.entries where !Self.common.contains(name) {
            let requests = entry.shards.reduce(0) { $0 + $1.requests.current }
            guard let seen = entry.seen, seen.requests == requests else {
                self.entries[name]?.seen = (requests, now)
                continue
            }
            guard now - seen.since >= Self.silence else { continue }
            for counters in entry.shards { counters.retire() }
            self.entries[name] = nil
            hasChanged = true
        }
        return hasChanged
    }
}
