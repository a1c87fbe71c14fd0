// SPDX-License-Identifier: Apache-2.0

package import Common
package import Logging

/// Registers this sidecar with a service-center, keeps the registration alive, and ends it when the sidecar is taken out
/// of service or the process stops.
///
/// A registry that cannot be reached is state: it is tried again, for ever. Only the registry's word that the instance or
/// the service is unknown makes it register again, with everything that it had registered, and with the status that
/// holds now.
package actor RegistrarComponent: Component {
    private typealias Failure = ServiceCenterClient.Failure

    private let registration: Registration
    private let client: ServiceCenterClient
    private let state: RegistrationState
    private let health: LocalHealth
    private let inbox: Mailbox<RegistrarMessage>
    private let readiness: Readiness
    private let registry: Mailbox<RegistryMessage>
    private let logger: Logger
    /// Paces what the registry answers with a no, or loses again and again: when it is called at all is the client's.
    private var refusals: Reconnect
    /// How often in a row the registry has said that it knows nothing.
    private var losses = 0
    /// When the registry was called last, or could have been.
    private var asked = ContinuousClock.now
    /// Whether to call the registry now even when it is to be left alone: a pause must not outlast the lease.
    private var isUrgent = false
    /// The registration of the instance that is on its way to the registry.
    private var posting: Task<Failure?, Never>?
    /// The end of the registration, once it has begun, with the time that others have to learn of it.
    private var leaving: Task<Void, Never>?

    /// A component that registers `registration` once the listeners are open.
    ///
    /// - Parameter inbox: Tells of changes of `health`.
    /// - Parameter registry: Told when the service is registered: whoever asks may say now who asks.
    package init(
        _ registration: Registration, client: ServiceCenterClient, state: RegistrationState, health: LocalHealth,
        inbox: Mailbox<RegistrarMessage>, registry: Mailbox<RegistryMessage>, readiness: Readiness, logger: Logger
    ) {
        self.registration = registration
        self.client = client
        self.refusals = Reconnect(client.pace)
        self.state = state
        self.health = health
        self.inbox = inbox
        self.readiness = readiness
        self.registry = registry
        self.logger = logger
    }

    package func run() async throws {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.keepRegistered() }
            group.addTask { await self.leaveWhenTold() }
        }
    }

    private func keepRegistered() async {
        await self.readiness.wait(for: .listeners)
        while !Task.isCancelled {
            let pause: Duration
            let isDue = ContinuousClock.now - self.asked >= self.registration.interval * 0.9
            self.isUrgent = isDue ? await self.client.mayInsist : false
            if self.isUrgent { self.asked = .now } else if await self.client.pause == .zero { self.asked = .now }
            do throws(Failure) {
                try await self.registerService()
                if self.registration.includesInstance {
                    try await self.registerInstance()
                    try await self.beat()
                    try await self.settleStatus()
                }
                pause = self.registration.interval
                self.refusals.answered(at: .now)
                self.losses = 0
                self.report(nil)
            } catch {
                // Cut off by the end of the process, which is nobody's failure.
                if Task.isCancelled { return }
                pause = await self.handle(error)
            }
            await self.wait(pause * Double.random(in: 0.9...1.1))
        }
    }

    /// Ends the registration before the process stops, when the sidecar is taken out of service.
    ///
    /// The service stays registered: it goes on as a consumer. A registry that does not answer is asked again until it has,
    /// for as long as the process goes on.
    private func leaveWhenTold() async {
        await self.readiness.waitForDraining()
        // A stop comes in its turn: see `drain`.
        if Task.isCancelled || self.readiness.isStopping { return }
        await self.leave()
        var pace = Reconnect(self.client.pace)
        while self.state.current.mayBeRegistered, !Task.isCancelled {
            try? await Task.sleep(for: min(pace.failed(at: .now), self.registration.interval))
            if Task.isCancelled { return }
            let state = self.state.current
            guard let service = state.serviceID, let id = self.registration.instance.instanceId else { return }
            _ = await self.end(id, of: service, timeout: .seconds(2), isCertain: true)
        }
    }

    package func drain() async { await self.leave() }

    /// Ends the registration, once, and gives others the time to learn of it.
    private func leave() async {
        let leaving = self.leaving ?? Task { await self.endRegistration() }
        self.leaving = leaving
        await withTaskCancellationHandler {
            await leaving.value
        } onCancel: {
            leaving.cancel()
        }
    }

    private func endRegistration() async {
        self.state.update { $0.isLeaving = true }
        let isAnswered = await self.endPosting()
        let state = self.state.current
        guard let service = state.serviceID, state.mayBeRegistered, let id = self.registration.instance.instanceId
        else {
            return
        }
        // A registration without an answer may come to the registry after its end, which then has found nothing.
        let isCertain = isAnswered ?? state.isRegistered
        var isOver = await self.end(id, of: service, timeout: .seconds(2), isCertain: isCertain)
        // Whoever has looked this instance up before still calls it for a moment.
        let farewell = ContinuousClock.now + self.registration.farewell
        let lastRepeat = min(farewell, ContinuousClock.now + .seconds(3))
        while !isOver, !Task.isCancelled, ContinuousClock.now + .seconds(1) < lastRepeat {
            try? await Task.sleep(for: .seconds(1))
            isOver = await self.end(id, of: service, timeout: .seconds(1), isCertain: isCertain)
        }
        try? await Task.sleep(until: farewell, clock: .continuous)
        if !isOver { _ = await self.end(id, of: service, timeout: .seconds(1), isCertain: isCertain) }
    }

    /// Ends the registration.
    ///
    /// - Parameter isCertain: Whether the registry has the instance, unless it says that there is none.
    /// - Returns: Whether it is over for good.
    private func end(_ id: String, of service: String, timeout: Duration, isCertain: Bool) async -> Bool {
        do {
            guard try await self.client.remove(id, of: service, timeout: timeout) || isCertain else { return false }
        } catch {
            self.logger.warning("cannot end the registration", metadata: ["error": "\(error)"])
            return false
        }
        self.state.update {
            $0.isRegistered = false
            $0.mayBeRegistered = false
        }
        self.logger.notice("no longer registered", metadata: ["instance": "\(id)"])
        return true
    }

    /// Waits for the answer to a registration that is on its way, for a moment: its end must not come before it.
    ///
    /// - Returns: Whether the registry has answered; `nil` when nothing was on its way.
    private func endPosting() async -> Bool? {
        guard let posting = self.posting else { return nil }
        let end = Task {
            try await Task.sleep(for: .seconds(3))
            posting.cancel()
        }
        let failure = await posting.value
        end.cancel()
        return failure.map { $0.isRefusal } ?? true
    }

    /// Returns when the time is over, or the health of the application has changed.
    private func wait(_ duration: Duration) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { _ = await self.inbox.receive() }
            group.addTask { try? await Task.sleep(for: duration) }
            await group.next()
            group.cancelAll()
        }
    }

    private func registerService() async throws(Failure) {
        guard self.state.current.serviceID == nil else { return }
        let service = self.registration.service
        let id: String
        if let known = try await self.client.serviceID(of: service, isUrgent: self.isUrgent) {
            id = known
            // Posting a known service again changes nothing, so its properties have to be put.
            if try await self.client.service(known)?.properties != service.properties {
                try await self.client.setProperties(service.properties ?? [:], ofService: known)
            }
        } else {
            id = try await self.client.register(service, isUrgent: self.isUrgent)
        }
        self.state.update { $0.serviceID = id }
        self.registry.send(.consumerChanged)
        self.logger.notice("service registered", metadata: ["service": "\(id)"])
    }

    private func registerInstance() async throws(Failure) {
        let state = self.state.current
        guard !state.isRegistered, !state.isLeaving, let service = state.serviceID else { return }
        var instance = self.registration.instance
        let own = self.status
        let status = state.decided ?? own
        instance.status = status.rawValue
        // Marked before the call: whatever becomes of it, a stop from now on has something to undo.
        self.state.update { $0.mayBeRegistered = true }
        try await self.post(instance, of: service)
        self.state.update {
            $0.isRegistered = true
            // An instance that the registry has already it takes for a heartbeat: what it keeps is the status of an earlier
            // call, of which nobody has heard.
            $0.told = state.mayBeRegistered ? nil : own
        }
        self.logger.notice(
            "instance registered",
            metadata: [
                "instance": "\(instance.instanceId ?? "")", "status": "\(status.rawValue)",
                "endpoints": "\((instance.endpoints ?? []).joined(separator: ", "))",
            ])
    }

    private func post(_ instance: InstanceEntity, of service: String) async throws(Failure) {
        let (client, isUrgent) = (self.client, self.isUrgent)
        let posting = Task { () async -> Failure? in
            do throws(Failure) {
                try await client.register(instance, of: service, isUrgent: isUrgent)
                return nil
            } catch {
                return error
            }
        }
        self.posting = posting
        let failure = await withTaskCancellationHandler {
            await posting.value
        } onCancel: {
            posting.cancel()
        }
        self.posting = nil
        if let failure { throw failure }
    }

    /// The status that is true now: that of the configuration, unless the application is ill.
    private var status: InstanceStatus {
        self.registration.status == .up && !self.health.isHealthy ? .down : self.registration.status
    }

    /// Tells of a change of health, unless somebody has given the instance a status of another kind meanwhile; that one is
    /// remembered, so that it outlasts the registration.
    private func settleStatus() async throws(Failure) {
        let (state, status) = (self.state.current, self.status)
        guard state.isRegistered, !state.isLeaving, let service = state.serviceID,
            let id = self.registration.instance.instanceId
        else { return }
        let known: InstanceStatus?
        do {
            known = try await self.client.status(of: id, of: service)
        } catch {
            // A heartbeat has just been taken: with nothing to tell, nothing is amiss.
            let isLost = error.code == .instanceMissing || error.code == .serviceMissing
            if state.told == status, !isLost { return }
            throw error
        }
        switch known {
        case .up, .down, nil:
            if state.told != status, known != status {
                try await self.client.setStatus(status, of: id, of: service)
                self.logger.notice("status told to the registry", metadata: ["status": "\(status.rawValue)"])
            }
            self.state.update { $0.told = status }
            self.decide(nil)
        case .starting, .testing, .outOfService: self.decide(known == status ? nil : known)
        }
    }

    private func decide(_ status: InstanceStatus?) {
        guard self.state.current.decided != status else { return }
        self.state.update { $0.decided = status }
        guard let status else { return }
        self.logger.notice(
            "somebody else has set the status of this instance, which stands",
            metadata: ["status": "\(status.rawValue)"])
    }

    private func beat() async throws(Failure) {
        let state = self.state.current
        guard state.isRegistered, !state.isLeaving, let service = state.serviceID,
            let id = self.registration.instance.instanceId
        else { return }
        try await self.client.beat(id, of: service, isUrgent: self.isUrgent)
    }

    /// - Returns: How long to wait before the next attempt.
    private func handle(_ failure: Failure) async -> Duration {
        switch failure.code {
        case .instanceMissing:
            self.logger.warning("the registry has lost the instance, which registers again")
            self.state.update {
                $0.isRegistered = false
                $0.losses += 1
            }
            self.losses += 1
            // A registry that loses it again and again is not to be flooded.
            return self.losses == 1 ? .zero : self.refusals.failed(at: .now)
        case .serviceMissing, .serviceExists, .versionMissing:
            self.logger.warning("the registry has lost the service, which registers again")
            self.state.update {
                $0.serviceID = nil
                $0.isRegistered = false
                $0.losses += 1
            }
            self.losses += 1
            return self.losses == 1 ? .zero : self.refusals.failed(at: .now)
        default:
            self.report("\(failure)")
            let left = await self.client.pause
            return min(left > .zero ? left : self.refusals.failed(at: .now), self.registration.interval)
        }
    }

    /// Logs what has changed, and once only.
    private func report(_ failure: String?) {
        let before = self.state.current.failure
        self.state.update { $0.failure = failure }
        switch (before, failure) {
        case (nil, let failure?):
            self.logger.warning(
                "the registry cannot be told of this instance, it is tried again", metadata: ["error": "\(failure)"])
        case (_?, nil):
            self.logger.notice("the registry answers again")
            self.registry.send(.caughtUp)
        default: break
        }
    }
}
