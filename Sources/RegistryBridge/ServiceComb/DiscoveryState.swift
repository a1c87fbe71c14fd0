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
        /// Since when the registry has said that there are no instances any more.
        var emptySince: ContinuousClock.Instant?
        /// How often the registry was asked in vain for others in place of instances that refuse.
        var refusals = 0
        /// When it may be asked so again.
        var refusesUntil: ContinuousClock.Instant?
    }

    /// What the registry answered about one service.
    enum Answer: Sendable {
        case found([InstanceEntity], revision: String?)
        case unchanged
        /// There is no such service, or this one may not see it.
        case unknown
        /// No service can have such a name.
        case refused
        /// Nothing was learnt.
        case failed
    }

    /// One answer, and what it is about.
    typealias Answered = (demand: ServiceDemand, answer: Answer)

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
    /// After what time an answer without instances has to be given again before it is believed.
    static let confirmation = Duration.milliseconds(500)

    private(set) var entries: [ServiceDemand: Entry] = [:]
    /// Services whose instances have changed since ``takeChanges()``.
    private var changes: Set<ServiceDemand> = []
    /// The last usable instances of a service are held too, for somebody to try them.
    private let holdsLast: Bool

    init(holdsLast: Bool = false) { self.holdsLast = holdsLast }

    /// Instances held in all.
    var heldInstances: Int { self.entries.values.reduce(0) { $0 + ($1.held?.ids.count ?? 0) } }

    /// Services that the registry has not confirmed lately.
    var staleServices: Int { self.entries.values.count(where: \.isStale) }

    /// The services to publish anew.
    mutating func takeChanges() -> Set<ServiceDemand> {
        defer { self.changes = [] }
        return self.changes
    }

    /// Takes over what was saved by an earlier process.
    mutating func restore(_ services: [ServiceDemand: [InstanceEntity]], at now: ContinuousClock.Instant) {
        for (demand, instances) in services {
            self.entries[demand] = Entry(instances: instances, lastUsed: now, isStale: true)
            self.changes.insert(demand)
        }
    }

    /// Traffic has used these services, of whichever application.
    mutating func use(_ names: Set<String>, at now: ContinuousClock.Instant) {
        for demand in self.entries.keys where names.contains(demand.name) { self.entries[demand]?.lastUsed = now }
    }

    /// Forgets services that nobody uses.
    mutating func forgetUnused(at now: ContinuousClock.Instant) {
        let unused = self.entries.filter { $0.value.lastUsed + Self.idleLimit < now }.keys
        for demand in unused {
            self.entries[demand] = nil
            self.changes.insert(demand)
        }
    }

    /// Revisions are good for the consumer only that has asked.
    mutating func forgetRevisions() {
        for demand in self.entries.keys { self.entries[demand]?.revision = nil }
    }

    /// The registry cannot be asked.
    mutating func markStale() {
        for demand in self.entries.keys { self.doubt(demand) }
    }

    /// What is known was not confirmed, nor the opposite.
    private mutating func doubt(_ demand: ServiceDemand) {
        self.entries[demand]?.isStale = true
        self.entries[demand]?.emptySince = nil
    }

    /// When ``unconfirmed(at:)`` has something next.
    var nextConfirmation: ContinuousClock.Instant? {
        self.entries.values.filter(\.isUnconfirmed).compactMap(\.emptySince).min().map { $0 + Self.confirmation }
    }

    /// The services that the registry has to be asked for again before its empty answer is believed.
    func unconfirmed(at now: ContinuousClock.Instant) -> Set<ServiceDemand> {
        Set(
            self.entries.filter { _, entry in
                entry.isUnconfirmed && entry.emptySince.map { $0 + Self.confirmation <= now } ?? false
            }.keys)
    }

    /// Whether the registry may be asked out of turn for a service whose instances refuse; the less often, the more often
    /// that has changed nothing.
    mutating func mayAsk(_ demand: ServiceDemand, at now: ContinuousClock.Instant) -> Bool {
        guard var entry = self.entries[demand], entry.refusesUntil.map({ $0 <= now }) ?? true else { return false }
        entry.refusesUntil = now + .seconds(1 << entry.refusals)
        entry.refusals = min(entry.refusals + 1, 4)
        self.entries[demand] = entry
        return true
    }

    /// Takes the answers to one call.
    ///
    /// - Parameter isDoubtful: The registry has lost something else lately, so that nothing is taken away on its word.
    /// - Returns: What the registry does not know.
    mutating func apply(
        _ answers: [Answered], isDoubtful: Bool = false, at now: ContinuousClock.Instant
    ) -> [ServiceDemand] {
        let holds = isDoubtful || self.isTooMuch(answers)
        var unknown: [ServiceDemand] = []
        for (demand, answer) in answers {
            switch answer {
            case .failed: self.doubt(demand)
            case .unchanged:
                self.entries[demand]?.isStale = false
                self.entries[demand]?.emptySince = nil
            case .found(let instances, let revision):
                self.set(demand, instances, revision, holds: holds, at: now)
            case .refused:
                // What was found once has a good name: it is something else that the registry refuses.
                if self.entries[demand] == nil { unknown.append(demand) } else { self.doubt(demand) }
            case .unknown:
                if let entry = self.entries[demand], !entry.instances.isEmpty {
                    self.set(demand, [], nil, holds: holds, at: now)
                }
                if self.entries[demand]?.instances.isEmpty ?? true {
                    if self.entries.removeValue(forKey: demand) != nil { self.changes.insert(demand) }
                    unknown.append(demand)
                }
            }
        }
        return unknown
    }

    /// Whether these answers would leave less than half of more than a few instances, in all.
    private func isTooMuch(_ answers: [Answered]) -> Bool {
        var (known, lost) = (0, 0)
        for (demand, answer) in answers {
            let before = self.entries[demand]?.instances.count ?? 0
            known += before
            switch answer {
            // Instances that others have taken the place of are not lost.
            case .found(let instances, _): lost += max(0, before - instances.count)
            case .unknown: lost += before
            case .unchanged, .failed, .refused: break
            }
        }
        return MassLoss.isOne(lost, of: known)
    }

    private mutating func set(
        _ demand: ServiceDemand, _ instances: [InstanceEntity], _ revision: String?, holds: Bool,
        at now: ContinuousClock.Instant
    ) {
        var entry = self.entries[demand] ?? Entry(lastUsed: now)
        let emptySince = instances.isEmpty && !entry.instances.isEmpty ? entry.emptySince ?? now : nil
        entry.emptySince = emptySince
        let answered = Set(instances.compactMap(\.instanceId))
        let vanished = entry.instances.filter { !answered.contains($0.instanceId ?? "") }
        let since = entry.held?.since ?? now
        let isLast = self.holdsLast && !instances.contains(where: \.isUsable)
        if holds || isLast, !vanished.isEmpty, now < since + Self.holdLimit {
            entry.held = (since, Set(vanished.compactMap(\.instanceId)))
            // Without a revision the next answer is whole again.
            entry.revision = nil
            self.store(entry, demand, instances + vanished)
        } else if let emptySince, now < emptySince + Self.confirmation {
            // A member of the registry that has just started may have no more than this to say.
            entry.held = nil
            entry.revision = nil
            self.store(entry, demand, entry.instances)
        } else {
            entry.held = nil
            entry.revision = revision
            entry.isStale = false
            entry.emptySince = nil
            self.store(entry, demand, instances)
        }
    }

    private mutating func store(_ entry: Entry, _ demand: ServiceDemand, _ instances: [InstanceEntity]) {
        let before = self.entries[demand]
        var entry = entry
        entry.instances = instances
        if before?.instances != instances {
            self.changes.insert(demand)
            entry.refusals = 0
        }
        self.entries[demand] = entry
    }

    /// The instances that are held, by service.
    var held: [(demand: ServiceDemand, instance: InstanceEntity)] {
        self.entries.flatMap { demand, entry in
            entry.instances.filter { entry.held?.ids.contains($0.instanceId ?? "") ?? false }.map { (demand, $0) }
        }
    }

    /// Lets a held instance go that did not answer.
    mutating func release(_ id: String, of demand: ServiceDemand) {
        guard var entry = self.entries[demand], entry.held?.ids.remove(id) != nil else { return }
        if entry.held?.ids.isEmpty ?? true { entry.held = nil }
        self.store(entry, demand, entry.instances.filter { $0.instanceId != id })
    }

    /// Takes an event of the watcher.
    mutating func apply(_ event: WatchEvent) -> Effect {
        guard let key = event.key, let name = key.serviceName else { return .ask }
        let demand = ServiceDemand(app: key.appId ?? "default", name: name)
        guard var entry = self.entries[demand] else { return .nothing }
        entry.emptySince = nil
        switch (event.action, event.instance, event.instance?.instanceId) {
        case ("CREATE", var instance?, let id?), ("UPDATE", var instance?, let id?):
            instance.version = instance.version ?? key.version
            var instances = entry.instances
            if let index = instances.firstIndex(where: { $0.instanceId == id }) {
                instances[index] = instance
            } else {
                instances.append(instance)
            }
            self.store(entry, demand, instances)
            return .publish
        case ("DELETE", _?, let id?):
            self.store(entry, demand, entry.instances.filter { $0.instanceId != id })
            return .publish
        default:
            entry.revision = nil
            self.entries[demand] = entry
            return .ask
        }
    }
}

extension DiscoveryState.Answer {
    /// Whether no service can have the name.
    var isRefusal: Bool {
        if case .refused = self { true } else { false }
    }
}

extension DiscoveryState.Entry {
    /// Whether an empty answer waits for its confirmation; instances that are held wait for something else.
    fileprivate var isUnconfirmed: Bool { self.emptySince != nil && self.held == nil }
}

extension InstanceEntity {
    /// Whether traffic may go there.
    fileprivate var isUsable: Bool { InstanceStatus(rawValue: self.status ?? "UP")?.isEligible ?? false }
}
