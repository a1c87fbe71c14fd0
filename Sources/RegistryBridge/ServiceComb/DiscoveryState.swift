// SPDX-License-Identifier: Apache-2.0

import Common

/// What is known of the services that traffic uses, and what follows from the registry's answers: pure, with the time
/// passed in.
///
/// Only the registry's word removes anything. A poll that would remove most instances at once is not believed for a while,
/// since a registry that has just lost its store answers just so.
struct DiscoveryState {
    /// What is known of one service.
    struct Entry {
        /// As the registry wrote them.
        var instances: [InstanceEntity] = []
        /// To ask with next time.
        var revision: String?
        /// When traffic asked for it last.
        var lastUsed: ContinuousClock.Instant
        /// The registry has not confirmed it lately.
        var isStale = false
        /// Since when vanished instances are held, and which.
        var held: (since: ContinuousClock.Instant, ids: Set<String>)?
    }

    /// What the registry answered about one service.
    enum Answer: Sendable {
        case found([InstanceEntity], revision: String?)
        case unchanged
        /// There is no such service, or this one may not see it.
        case unknown
        /// Nothing was learnt.
        case failed
    }

    /// What an event asks for.
    enum Effect: Equatable {
        case nothing
        case publish
        /// The registry has to be asked for everything.
        case ask
    }

    /// How long instances are held that have vanished together with most of the others.
    static let holdLimit = Duration.seconds(300)
    /// How long a service is asked for after its last use.
    static let idleLimit = Duration.seconds(600)
    /// With so few instances, all of them may vanish at once.
    static let smallest = 5

    private(set) var entries: [String: Entry] = [:]
    /// Services whose instances have changed since ``takeChanges()``.
    private var changes: Set<String> = []
    private let app: String
    /// The last usable instances of a service are held too, for somebody to try them.
    private let holdsLast: Bool

    init(app: String, holdsLast: Bool = false) {
        self.app = app
        self.holdsLast = holdsLast
    }

    /// Instances held in all.
    var heldInstances: Int { self.entries.values.reduce(0) { $0 + ($1.held?.ids.count ?? 0) } }

    /// Services that the registry has not confirmed lately.
    var staleServices: Int { self.entries.values.count(where: \.isStale) }

    /// The services to publish anew.
    mutating func takeChanges() -> Set<String> {
        defer { self.changes = [] }
        return self.changes
    }

    /// Takes over what was saved by an earlier process.
    mutating func restore(_ services: [String: [InstanceEntity]], at now: ContinuousClock.Instant) {
        for (name, instances) in services {
            self.entries[name] = Entry(instances: instances, lastUsed: now, isStale: true)
            self.changes.insert(name)
        }
    }

    /// Traffic has used these services.
    mutating func use(_ names: some Sequence<String>, at now: ContinuousClock.Instant) {
        for name in names { self.entries[name]?.lastUsed = now }
    }

    /// Forgets services that nobody uses.
    mutating func forgetUnused(at now: ContinuousClock.Instant) {
        let unused = self.entries.filter { $0.value.lastUsed + Self.idleLimit < now }.keys
        for name in unused {
            self.entries[name] = nil
            self.changes.insert(name)
        }
    }

    /// Revisions are good for the consumer only that has asked.
    mutating func forgetRevisions() {
        for name in self.entries.keys { self.entries[name]?.revision = nil }
    }

    /// The registry cannot be asked.
    mutating func markStale() {
        for name in self.entries.keys { self.entries[name]?.isStale = true }
    }

    /// Takes the answers to one call.
    ///
    /// - Parameter isDoubtful: The registry has lost something else lately, so that nothing is taken away on its word.
    /// - Returns: The names that the registry does not know.
    mutating func apply(
        _ answers: [(name: String, answer: Answer)], isDoubtful: Bool = false, at now: ContinuousClock.Instant
    ) -> [String] {
        let holds = isDoubtful || self.isTooMuch(answers)
        var unknown: [String] = []
        for (name, answer) in answers {
            switch answer {
            case .failed: self.entries[name]?.isStale = true
            case .unchanged: self.entries[name]?.isStale = false
            case .found(let instances, let revision):
                self.set(name, instances, revision, holds: holds, at: now)
            case .unknown:
                if let entry = self.entries[name], !entry.instances.isEmpty {
                    self.set(name, [], nil, holds: holds, at: now)
                }
                if self.entries[name]?.instances.isEmpty ?? true {
                    if self.entries.removeValue(forKey: name) != nil { self.changes.insert(name) }
                    unknown.append(name)
                }
            }
        }
        return unknown
    }

    /// Whether these answers would leave less than half of more than a few instances, in all.
    private func isTooMuch(_ answers: [(name: String, answer: Answer)]) -> Bool {
        var (known, lost) = (0, 0)
        for (name, answer) in answers {
            let before = self.entries[name]?.instances.count ?? 0
            known += before
            switch answer {
            // Instances that others have taken the place of are not lost.
            case .found(let instances, _): lost += max(0, before - instances.count)
            case .unknown: lost += before
            case .unchanged, .failed: break
            }
        }
        return known > Self.smallest && lost * 2 > known
    }

    private mutating func set(
        _ name: String, _ instances: [InstanceEntity], _ revision: String?, holds: Bool,
        at now: ContinuousClock.Instant
    ) {
        var entry = self.entries[name] ?? Entry(lastUsed: now)
        let answered = Set(instances.compactMap(\.instanceId))
        let vanished = entry.instances.filter { !answered.contains($0.instanceId ?? "") }
        let since = entry.held?.since ?? now
        let isLast = self.holdsLast && !instances.contains(where: \.isUsable)
        if holds || isLast, !vanished.isEmpty, now < since + Self.holdLimit {
            entry.held = (since, Set(vanished.compactMap(\.instanceId)))
            // Without a revision the next answer is whole again.
            entry.revision = nil
            self.store(entry, name, instances + vanished)
        } else {
            entry.held = nil
            entry.revision = revision
            entry.isStale = false
            self.store(entry, name, instances)
        }
    }

    private mutating func store(_ entry: Entry, _ name: String, _ instances: [InstanceEntity]) {
        let before = self.entries[name]
        var entry = entry
        entry.instances = instances
        self.entries[name] = entry
        if before?.instances != instances { self.changes.insert(name) }
    }

    /// The instances that are held, by service.
    var held: [(name: String, instance: InstanceEntity)] {
        self.entries.flatMap { name, entry in
            entry.instances.filter { entry.held?.ids.contains($0.instanceId ?? "") ?? false }.map { (name, $0) }
        }
    }

    /// Lets a held instance go that did not answer.
    mutating func release(_ id: String, of name: String) {
        guard var entry = self.entries[name], entry.held?.ids.remove(id) != nil else { return }
        if entry.held?.ids.isEmpty ?? true { entry.held = nil }
        self.store(entry, name, entry.instances.filter { $0.instanceId != id })
    }

    /// Takes an event of the watcher.
    mutating func apply(_ event: WatchEvent) -> Effect {
        guard let key = event.key, let name = key.serviceName else { return .ask }
        guard key.appId ?? "default" == self.app, var entry = self.entries[name] else { return .nothing }
        switch (event.action, event.instance, event.instance?.instanceId) {
        case ("CREATE", var instance?, let id?), ("UPDATE", var instance?, let id?):
            instance.version = instance.version ?? key.version
            var instances = entry.instances
            if let index = instances.firstIndex(where: { $0.instanceId == id }) {
                instances[index] = instance
            } else {
                instances.append(instance)
            }
            self.store(entry, name, instances)
            return .publish
        case ("DELETE", _?, let id?):
            self.store(entry, name, entry.instances.filter { $0.instanceId != id })
            return .publish
        default:
            entry.revision = nil
            self.entries[name] = entry
            return .ask
        }
    }
}

extension InstanceEntity {
    /// Whether traffic may go there.
    fileprivate var isUsable: Bool { InstanceStatus(rawValue: self.status ?? "UP")?.isEligible ?? false }
}
