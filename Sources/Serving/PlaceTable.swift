// SPDX-License-Identifier: Apache-2.0

/// Who has a place at a server, and who has to go when there is none left.
///
/// Pure. A place is ordinary, or one of those that are kept for probes. Whoever comes gets an ordinary one while there is
/// one, or that of the connection that has been idle longest; else one of the others, likewise.
struct PlaceTable {
    struct Place {
        let id: Int
        let isReserved: Bool
        /// Who has to go for it.
        let evicted: Int?
    }

    private struct Entry {
        let isReserved: Bool
        /// The smaller, the longer; `nil` for one that is not idle.
        var idleSince: Int?
    }

    private let ordinary: Int
    private let reserved: Int
    private var entries: [Int: Entry] = [:]
    private var ordinaryCount = 0
    private var clock = 0

    init(_ limits: ServerLimits) {
        self.ordinary = limits.places - limits.reserved
        self.reserved = limits.reserved
    }

    /// How many there are.
    var count: Int { self.entries.count }

    /// Gives a place to a connection that has just come, which is idle.
    ///
    /// - Returns: `nil` when all are taken by connections that are busy.
    mutating func enter() -> Place? {
        var evicted: Int?
        var isReserved = false
        if self.ordinaryCount >= self.ordinary {
            evicted = self.longestIdle(isReserved: false)
            if evicted == nil {
                isReserved = true
                if self.count - self.ordinaryCount >= self.reserved {
                    evicted = self.longestIdle(isReserved: true)
                    guard evicted != nil else { return nil }
                }
            }
        }
        if let evicted { self.leave(evicted) }
        self.clock += 1
        let id = self.clock
        self.entries[id] = Entry(isReserved: isReserved, idleSince: id)
        if !isReserved { self.ordinaryCount += 1 }
        return Place(id: id, isReserved: isReserved, evicted: evicted)
    }

    /// Notes whether a connection has a request in progress; nothing happens for one that has no place any more.
    mutating func set(_ id: Int, isIdle: Bool) {
        self.clock += 1
        self.entries[id]?.idleSince = isIdle ? self.clock : nil
    }

    /// Takes the place back; nothing happens the second time.
    mutating func leave(_ id: Int) {
        guard let entry = self.entries.removeValue(forKey: id) else { return }
        if !entry.isReserved { self.ordinaryCount -= 1 }
    }

    private func longestIdle(isReserved: Bool) -> Int? {
        let idle = self.entries.lazy.filter { $0.value.isReserved == isReserved && $0.value.idleSince != nil }
        return idle.min { ($0.value.idleSince ?? 0) < ($1.value.idleSince ?? 0) }?.key
    }
}
