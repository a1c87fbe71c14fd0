// SPDX-License-Identifier: Apache-2.0

package import Common
package import Logging
package import NIOCore

/// Finds services at a service-center: exactly those that traffic asks for, each when it is asked for first, and all of
/// them again at an interval, or when the registry pushes a change.
///
/// One loop asks, one question at a time, so that answers and events have an order; names that come while it waits go
/// into one call. It lives as long as the process: what it knows outlasts the component that runs it.
package actor ServiceCenterRegistry: Registry {
    private typealias Failure = ServiceCenterClient.Failure

    /// Whose instances stand in the index.
    private struct Owner: Hashable {
        let name: String
        let app: String
        var text: String { "\(self.app)/\(self.name)" }
    }

    /// How long a name stays unknown: a service that is just starting is to be found soon.
    private static let unknownFor = TimeAmount.seconds(2)
    /// The same when the registry could not be asked.
    private static let unreachableFor = TimeAmount.seconds(1)
    /// The same when the registry says that no service can have the name.
    private static let refusedFor = TimeAmount.seconds(30)
    /// How many held instances are tried at once.
    private static let probeLimit = 200
    /// How many unknown names are remembered.
    private static let unknownLimit = 1_000
    /// How long a registry is doubted that has lost this sidecar's own service: others need a lease to come back.
    private static let doubtFor = Duration.seconds(120)
    /// How long a list of all names is good for telling what a lower-cased name stands for.
    private static let namesFor = Duration.seconds(30)

    private let setup: Setup
    private let client: ServiceCenterClient
    private let registration: RegistrationState
    private let registrar: Mailbox<RegistrarMessage>
    private let inbox: Mailbox<RegistryMessage>
    private let status: RegistryStatus
    private let cache: DiscoveryCache
    private let watcher: Watcher
    /// The addresses of endpoints by host name.
    private let hosts: NameBook
    /// The names of hosts in the endpoints of a service, if any.
    private var hostNames: [ServiceDemand: Set<String>] = [:]
    /// Services that are the same at other addresses since the last publication.
    private var moved: Set<ServiceDemand> = []
    private let loops: any EventLoopGroup
    private let logger: Logger

    private var state: DiscoveryState
    private var absences: [ServiceDemand: ServiceDirectory.Absence] = [:]
    /// What registries behind this one have: it is asked for here as if traffic used it.
    private var elsewhere: Set<ServiceDemand> = []
    private var isSynced: Bool
    private var consumer: String?
    /// What the registry had lost when it was asked last, and how often it had answered.
    private var seenLosses = 0
    private var seenAnswers = 0
    /// Until when nothing is taken away on the registry's word.
    private var doubts = ContinuousClock.now
    /// Paces questions that the registry answers, with a no or with nonsense: when it is called at all is the client's.
    private var refusals: Reconnect
    /// What is asked for as soon as the registry may be called for somebody who waits.
    private var postponed: (demands: Set<ServiceDemand>, until: ContinuousClock.Instant) = ([], .now)
    private var names: (all: [ServiceEntity], until: ContinuousClock.Instant)?
    /// Absences or readiness have changed since the last publication.
    private var hasNews = false
    /// Every service there is, for its addresses; empty unless they are indexed.
    private var indexed: [Service] = []
    private var isUnsaved = false
    /// A change is saved at once, many changes once a second.
    private var nextSave = ContinuousClock.now
    private var cannotSave = false

    /// A registry that begins with `saved`.
    ///
    /// - Parameter resolver: Looks up the names of endpoints.
    package init(
        _ setup: Setup, client: ServiceCenterClient, registration: RegistrationState,
        registrar: Mailbox<RegistrarMessage>, inbox: Mailbox<RegistryMessage>, status: RegistryStatus,
        cache: DiscoveryCache, saved: Saved, resolver: NameResolver = .shared, loops: any EventLoopGroup,
        logger: Logger
    ) {
        self.hosts = NameBook(resolver) { inbox.send(.addressesChanged($0)) }
        self.setup = setup
        self.client = client
        self.refusals = Reconnect(client.pace)
        self.registration = registration
        self.registrar = registrar
        self.inbox = inbox
        self.status = status
        self.cache = cache
        self.loops = loops
        self.logger = logger
        self.watcher = Watcher(
            client: client, registration: registration, registrar: registrar, inbox: inbox, status: status,
            loops: loops, logger: logger)
        self.state = DiscoveryState(holdsLast: setup.isProbing)
        self.state.restore(saved.services, at: .now)
        self.isSynced = !saved.services.isEmpty
    }

    package func follow(_ directory: DirectoryPublisher) async throws {
        await withTaskGroup(of: Void.self) { group in
            if self.setup.isWatching { group.addTask { [watcher] in await watcher.run() } }
            var nextPoll = ContinuousClock.now
            var nextIndex = self.setup.isIndexing ? nextPoll : nil
            while !Task.isCancelled {
                let postponed = self.postponed.demands.isEmpty ? nil : self.postponed.until
                let due =
                    [nextPoll, nextIndex, self.state.nextConfirmation, postponed].compactMap { $0 }.min() ?? nextPoll
                let deadline = self.isUnsaved ? min(due, self.nextSave) : due
                let messages = await self.inbox.receiveAll(until: deadline)
                if Task.isCancelled { break }
                let isDue = self.take(messages) || nextPoll <= .now
                let wanted = self.wanted(messages).union(self.state.unconfirmed(at: .now))
                if isDue {
                    nextPoll = await self.poll(wanted.union(self.takePostponed()), directory)
                } else if !wanted.isEmpty || postponed.map({ $0 <= .now }) ?? false {
                    let sooner = await self.hurry(wanted.union(self.takePostponed()))
                    nextPoll = min(nextPoll, sooner ?? nextPoll)
                }
                if let index = nextIndex, index <= .now { nextIndex = await self.index() }
                self.publish(to: directory)
                if self.nextSave <= .now { self.save() }
            }
            group.cancelAll()
        }
        self.save()
    }

    // MARK: Asking

    private func takePostponed() -> Set<ServiceDemand> {
        defer { self.postponed.demands = [] }
        return self.postponed.demands
    }

    /// Asks for what somebody waits for, however long the pauses have become, or has it wait for a moment.
    ///
    /// - Returns: When to ask for everything; `nil` when that has not changed.
    private func hurry(_ wanted: Set<ServiceDemand>) async -> ContinuousClock.Instant? {
        let pause = await self.client.hurriedPause
        if pause > .zero, pause <= self.client.pace.first {
            self.postponed = (wanted, .now + pause)
            return nil
        }
        let wasReachable = self.status.current.isReachable
        guard await self.ask(wanted, isUrgent: pause == .zero) else { return .now + (await self.pause) }
        return wasReachable ? nil : .now
    }

    /// Takes what others have said.
    ///
    /// - Returns: Whether everything has to be asked for now.
    private func take(_ messages: [RegistryMessage]) -> Bool {
        var isDue = false
        for message in messages {
            switch message {
            case .serviceWanted, .serviceRefuses: break
            case .namesElsewhere(let names): self.elsewhere = self.setup.demands(names)
            case .caughtUp, .consumerChanged: isDue = true
            case .addressesChanged(let name):
                self.moved.formUnion(self.hostNames.lazy.filter { $0.value.contains(name) }.map(\.key))
            case .instanceChanged(let event): isDue = self.state.apply(event) == .ask || isDue
            }
        }
        return isDue
    }

    /// What is wanted and not settled since, and what refuses.
    private func wanted(_ messages: [RegistryMessage]) -> Set<ServiceDemand> {
        var demands: Set<ServiceDemand> = []
        let now = NIODeadline.now()
        let isNew = { demand in
            self.state.entries[demand] == nil && self.absences[demand].map { $0.until <= now } ?? true
        }
        for message in messages {
            switch message {
            case .serviceWanted(let demand): if isNew(demand) { demands.insert(demand) }
            case .namesElsewhere: demands.formUnion(self.elsewhere.filter(isNew))
            case .serviceRefuses(let demand):
                // A registry that pushes has said already what it knows.
                if !self.status.current.isWatching, self.state.mayAsk(demand, at: .now) { demands.insert(demand) }
            case .consumerChanged, .instanceChanged, .addressesChanged, .caughtUp: break
            }
        }
        return demands
    }

    /// Asks for everything that traffic uses.
    ///
    /// - Returns: When to ask again.
    private func poll(
        _ wanted: Set<ServiceDemand>, _ directory: DirectoryPublisher
    ) async -> ContinuousClock.Instant {
        let used = directory.current.all.filter { $0.use.take() }.map(\.name)
        self.state.use(Set(used).union(self.elsewhere.map(\.name)), at: .now)
        // A service that is known of another application may have come to the own one.
        let own = self.state.entries.keys.map { ServiceDemand(app: self.setup.app, name: $0.name) }
        guard await self.ask(wanted.union(self.state.entries.keys).union(own).union(self.elsewhere)) else {
            return .now + min(await self.pause, self.setup.interval)
        }
        self.state.forgetUnused(at: .now)
        if self.setup.isFindingMembers { try? await self.client.findMembers() }
        if self.setup.isProbing { await self.probe() }
        return .now + self.setup.interval * Double.random(in: 0.9...1.1)
    }

    /// How long to leave a registry alone that has failed, or has said no.
    private var pause: Duration { get async { max(self.refusals.pause(at: .now), await self.client.pause) } }

    /// Asks for these services; without any, whether the registry answers.
    ///
    /// - Parameter isUrgent: Also when the registry is to be left alone.
    /// - Returns: Whether it did.
    private func ask(_ demands: Set<ServiceDemand>, isUrgent: Bool = false) async -> Bool {
        let registered = self.registration.current
        if registered.losses != self.seenLosses {
            self.seenLosses = registered.losses
            self.doubts = .now + Self.doubtFor
        }
        let consumer = registered.serviceID
        if consumer != self.consumer {
            if self.consumer != nil { self.doubts = .now + Self.doubtFor }
            self.consumer = consumer
            self.state.forgetRevisions()
        }
        do throws(Failure) {
            if demands.isEmpty { try await self.ping() }
            // What is new is asked for apart, so that a name which the registry refuses does not hold up the known ones.
            var answers: [DiscoveryState.Answered] = []
            for isKnown in [true, false] {
                let list = demands.filter { (self.state.entries[$0] != nil) == isKnown }.sorted()
                for start in stride(from: 0, to: list.count, by: ServiceCenterClient.batch) {
                    let part = list[start..<min(start + ServiceCenterClient.batch, list.count)]
                    answers += try await self.find(Array(part), isUrgent: isUrgent)
                }
            }
            let unknown = self.state.apply(answers, isDoubtful: .now < self.doubts, at: .now)
            for demand in demands { self.absences[demand] = nil }
            let spelled = await self.spell(unknown)
            if !spelled.isEmpty {
                _ = self.state.apply(try await self.find(spelled, isUrgent: isUrgent), at: .now)
            }
            let refused = Set(answers.filter { $0.answer.isRefusal }.map(\.demand))
            self.remember(unknown.filter { !refused.contains($0) }, .unknown, for: Self.unknownFor)
            self.remember(unknown.filter { refused.contains($0) }, .unknown, for: Self.refusedFor)
            let unanswered = demands.subtracting(unknown).filter { self.state.entries[$0] == nil }
            self.remember(unanswered.sorted(), .unreachable, for: Self.unreachableFor)
            self.hasNews = self.hasNews || !self.isSynced
            self.isSynced = true
            self.refusals.answered(at: .now)
            self.report(nil)
            return true
        } catch {
            if await self.client.pause == .zero { self.refusals.failed(at: .now) }
            self.state.markStale()
            let missing = demands.filter { self.state.entries[$0] == nil }
            self.remember(missing.sorted(), .unreachable, for: Self.unreachableFor)
            if !Task.isCancelled { self.report("\(error)") }
            return false
        }
    }

    /// Whether the registry is there; whoever else has had an answer since knows that.
    private func ping() async throws(Failure) {
        if await self.client.answers == self.seenAnswers { try await self.client.ping() }
        self.seenAnswers = await self.client.answers
    }

    /// One call; each half again by itself when the registry refuses the whole of it for the sake of one name.
    private func find(
        _ demands: [ServiceDemand], isUrgent: Bool
    ) async throws(Failure) -> [DiscoveryState.Answered] {
        do {
            return try await self.findAll(demands, isUrgent: isUrgent)
        } catch {
            guard error.code == .invalidParameters else { throw error }
            if demands.count == 1 { return [(demands[0], .refused)] }
            let half = demands.count / 2
            let (first, second) = (Array(demands[..<half]), Array(demands[half...]))
            return try await self.find(first, isUrgent: isUrgent) + self.find(second, isUrgent: isUrgent)
        }
    }

    /// One call; again without a consumer when the registry does not know this sidecar's service any more.
    private func findAll(
        _ demands: [ServiceDemand], isUrgent: Bool
    ) async throws(Failure) -> [DiscoveryState.Answered] {
        let services = demands.map { ($0, self.state.entries[$0]?.revision) }
        let environment = self.setup.environment
        var findings = try await self.client.find(
            services, environment: environment, consumer: self.consumer, isUrgent: isUrgent)
        if findings.isConsumerUnknown, self.consumer != nil {
            self.logger.warning("the registry has lost the service that asks, which registers again")
            self.registration.lose(self.consumer)
            self.registrar.send(.registrationLost)
            self.consumer = nil
            self.doubts = .now + Self.doubtFor
            findings = try await self.client.find(
                demands.map { ($0, nil) }, environment: environment, consumer: nil)
        }
        return zip(demands, findings.answers).map { ($0, $1) }
    }

    /// Services whose names are these but for their case: many clients lower-case what they call.
    ///
    /// Not every account may see the list of all names; without it there is no such service.
    private func spell(_ unknown: [ServiceDemand]) async -> [ServiceDemand] {
        let lowered = unknown.filter { $0.name == $0.name.lowercased() }
        guard !lowered.isEmpty else { return [] }
        if self.names.map({ $0.until < .now }) ?? true {
            let all = try? await self.client.services()
            self.names = (all ?? [], .now + Self.namesFor)
        }
        return lowered.compactMap { demand in
            let similar = Set(
                self.names?.all.filter {
                    ($0.appId ?? "default") == demand.app && ($0.environment ?? "") == self.setup.environment
                        && $0.serviceName?.lowercased() == demand.name
                }.compactMap(\.serviceName) ?? [])
            guard similar.count == 1, let name = similar.first, name != demand.name else { return nil }
            return ServiceDemand(app: demand.app, name: name)
        }
    }

    /// Asks for everything there is, to know who is at an address.
    ///
    /// - Returns: When to ask again: the more there is, the later.
    private func index() async -> ContinuousClock.Instant {
        let began = ContinuousClock.now
        do throws(Failure) {
            let details = try await self.client.everything()
            var services: [Owner: [InstanceEntity]] = [:]
            for detail in details where (detail.microService?.environment ?? "") == self.setup.environment {
                guard let service = detail.microService, let name = service.serviceName else { continue }
                let owner = Owner(name: name, app: service.appId ?? "default")
                services[owner, default: []] += (detail.instances ?? []).map { instance in
                    var instance = instance
                    instance.version = instance.version ?? service.version
                    return instance
                }
            }
            var builder = ServiceDirectoryBuilder(
                upon: ServiceDirectory(self.indexed, isSynced: true), ownApp: self.setup.app)
            for (owner, instances) in services.sorted(by: { $0.key.text < $1.key.text }) {
                builder.add(owner.name, Self.instances(instances, app: owner.app, &builder, nil)?.made ?? [])
            }
            let indexed = builder.added
            if indexed != self.indexed { self.hasNews = true }
            self.indexed = indexed
        } catch {
            if !Task.isCancelled { self.report("\(error)") }
        }
        return .now + max(self.setup.interval, (.now - began) * 20)
    }

    /// Tries the instances that are held, and lets those go that take no connection.
    private func probe() async {
        let held = Array(self.state.held.prefix(Self.probeLimit))
        let dead = await Self.dead(among: held, self.hosts, self.loops)
        for (demand, id) in dead { self.state.release(id, of: demand) }
    }

    private func remember(
        _ demands: [ServiceDemand], _ reason: ServiceDirectory.Absence.Reason, for duration: TimeAmount
    ) {
        let now = NIODeadline.now()
        guard !demands.isEmpty else { return }
        self.hasNews = true
        self.absences = self.absences.filter { $0.value.until > now }
        for demand in demands {
            if self.absences.count >= Self.unknownLimit + self.elsewhere.count,
                let oldest = self.absences.min(by: { $0.value.until < $1.value.until })
            {
                self.absences[oldest.key] = nil
            }
            self.absences[demand] = .init(reason, until: now + duration)
        }
    }

    // MARK: Telling

    private func publish(to directory: DirectoryPublisher) {
        let changes = self.state.takeChanges()
        let moved = self.moved
        self.moved = []
        let known = self.state.entries
        self.status.update {
            $0.services = Set(known.keys.map(\.name)).count
            $0.staleServices = self.state.staleServices
            $0.heldInstances = self.state.heldInstances
        }
        guard self.hasNews || !changes.isEmpty || !moved.isEmpty else { return }
        self.hasNews = false
        if !changes.isEmpty { self.followHosts(of: changes) }
        directory.publish { builder in
            builder.isSynced = self.isSynced
            builder.isComplete = false
            builder.absences = self.absences
            builder.indexed = self.indexed
            // More is expected of those whose hosts are being looked up.
            builder.known = Set(known.keys).subtracting(self.pendingHosts)
            builder.keepsOthers = true
            let changed = Set(changes.union(moved).map(\.name))
            let demands = Dictionary(grouping: known.keys.lazy.filter { changed.contains($0.name) }, by: \.name)
            for name in changed {
                guard let demands = demands[name] else {
                    builder.remove(name)
                    continue
                }
                var instances: [Instance] = []
                var ignored = 0
                var isWaiting = false
                for demand in demands.sorted() {
                    let entities = known[demand]?.instances ?? []
                    guard let read = Self.instances(entities, app: demand.app, &builder, self.hosts) else {
                        isWaiting = true
                        break
                    }
                    instances += read.made
                    ignored += read.ignored
                }
                // Its names are being looked up: it stays as it was, and whoever asks for more of it waits.
                if isWaiting { continue }
                builder.add(name, instances)
                if ignored > 0 {
                    self.logger.warning(
                        "endpoints ignored, they cannot be read",
                        metadata: ["service": "\(name)", "endpoints": "\(ignored)"])
                }
            }
        }
        if !changes.isEmpty { self.isUnsaved = true }
        for demand in changes.sorted() {
            self.logger.info(
                "service changed",
                metadata: [
                    "service": "\(demand.name)", "app": "\(demand.app)",
                    "instances": "\(known[demand]?.instances.count ?? 0)",
                ])
        }
    }

    /// Services with an endpoint whose host is being looked up for the first time.
    private var pendingHosts: [ServiceDemand] {
        self.hostNames.compactMap { demand, names in names.contains { self.hosts[$0] == nil } ? demand : nil }
    }

    /// Has the names of hosts looked up that stand in the endpoints of these services.
    private func followHosts(of services: Set<ServiceDemand>) {
        for service in services {
            let endpoints = self.state.entries[service]?.instances.flatMap { $0.endpoints ?? [] } ?? []
            let names = endpoints.compactMap { try? EndpointText($0) }.filter { $0.address == nil }.map(\.host)
            self.hostNames[service] = names.isEmpty ? nil : Set(names)
        }
        self.hosts.use(self.hostNames.values.reduce(into: []) { $0.formUnion($1) })
    }

    private func report(_ failure: String?) {
        let before = self.status.current
        self.status.update {
            $0.isReachable = failure == nil
            $0.failure = failure
        }
        switch (before.failure, failure) {
        case (nil, let failure?):
            self.logger.warning(
                "the registry cannot be asked, the last known instances stand", metadata: ["error": "\(failure)"])
        case (_?, nil):
            self.logger.notice("the registry can be asked again")
            // It may have come back without anything, which nobody notices as long as no service is in use.
            if self.setup.isRegistering { self.registrar.send(.registryReturned) }
        default: break
        }
    }

    private func save() {
        guard self.isUnsaved else { return }
        let began = ContinuousClock.now
        // It writes all that is known; a hundredth of the time may go into that.
        defer { (self.isUnsaved, self.nextSave) = (false, .now + max(.seconds(1), (.now - began) * 100)) }
        do {
            try self.cache.save(self.state.entries.mapValues(\.instances))
            self.cannotSave = false
        } catch {
            if !self.cannotSave {
                self.logger.warning(
                    "known services cannot be saved; a restart while the registry is away would know none",
                    metadata: ["path": "\(self.cache.path)", "error": "\(error)"])
            }
            self.cannotSave = true
        }
    }
}
