// SPDX-License-Identifier: Apache-2.0

import Common
import FoundationEssentials

/// All tenants' worlds behind one actor, and the sockets that are told of changes.
actor RegistryStore {
    /// Receives the events of one watcher's socket; the oldest are dropped when its reader is slower than the changes.
    typealias Watcher = AsyncStream<WatchEvent>.Continuation

    private struct WatcherKey: Hashable {
        let tenant: String
        let consumer: String
    }

    private var worlds: [String: RegistryState] = [:]
    private var watchers: [WatcherKey: [UUID: Watcher]] = [:]
    private var hold = RegistryState.usualHold
    private let clock = ContinuousClock()
    private let start = ContinuousClock.now

    /// Works on a tenant's world, and tells watchers what has changed by it.
    func update<Result: Sendable>(
        _ tenant: String, _ body: @Sendable (inout RegistryState, RegistryState.Moment) throws -> Result
    ) throws -> Result {
        var world = self.worlds[tenant] ?? RegistryState(tenant: tenant, edition: .random(in: 0...UInt64.max / 2))
        world.hold = self.hold
        let result = Swift.Result { try body(&world, self.now) }
        self.tell(&world)
        // A question about a tenant that nobody has registered with leaves nothing behind.
        if self.worlds[tenant] != nil || !world.services.isEmpty { self.worlds[tenant] = world }
        return try result.get()
    }

    /// Ends leases, and forgets what is deleted, until cancelled.
    func expire() async throws {
        while true {
            try await Task.sleep(for: .milliseconds(250))
            for tenant in self.worlds.keys { try self.update(tenant) { world, now in world.sweep(at: now) } }
        }
    }

    /// Forgets everything, as a registry does whose storage is lost.
    func wipe() { self.worlds = [:] }

    /// - Parameter duration: How long deleted instances are still shown; `nil` for as long as usual.
    func hold(deletions duration: Duration?) {
        self.hold = duration.map { $0 / .seconds(1) } ?? RegistryState.usualHold
    }

    /// Ends the sockets of all watchers.
    func unwatchAll() {
        for watcher in self.watchers.values.flatMap(\.values) { watcher.finish() }
        self.watchers = [:]
    }

    /// The events for one consumer from now on.
    ///
    /// - Returns: `nil` when the consumer does not exist.
    func watch(_ tenant: String, consumer: String) -> (events: AsyncStream<WatchEvent>, id: UUID)? {
        guard self.worlds[tenant]?.services[consumer] != nil else { return nil }
        let (events, watcher) = AsyncStream.makeStream(of: WatchEvent.self, bufferingPolicy: .bufferingNewest(1_000))
        let id = UUID()
        self.watchers[WatcherKey(tenant: tenant, consumer: consumer), default: [:]][id] = watcher
        return (events, id)
    }

    /// Whether a service, or an instance of it, lives.
    func has(_ tenant: String, service: String, instance: String? = nil) -> Bool {
        guard let world = self.worlds[tenant], world.services[service] != nil else { return false }
        guard let instance else { return true }
        return world.instances[service]?[instance].map { $0.shownUntil == nil } ?? false
    }

    func unwatch(_ tenant: String, consumer: String, id: UUID) {
        let key = WatcherKey(tenant: tenant, consumer: consumer)
        self.watchers[key]?[id]?.finish()
        self.watchers[key]?[id] = nil
        if self.watchers[key]?.isEmpty == true { self.watchers[key] = nil }
    }

    private func tell(_ world: inout RegistryState) {
        for (provider, event) in world.takeEvents() {
            for consumer in world.consumers(of: provider) {
                let key = WatcherKey(tenant: world.tenant, consumer: consumer)
                for watcher in (self.watchers[key] ?? [:]).values { watcher.yield(event) }
            }
        }
    }

    private var now: RegistryState.Moment {
        let duration = self.start.duration(to: self.clock.now).components
        return RegistryState.Moment(
            monotonic: Double(duration.seconds) + Double(duration.attoseconds) / 1e18,
            unix: Int(Date().timeIntervalSince1970))
    }
}
