// SPDX-License-Identifier: Apache-2.0

import Common

/// Which of several addresses of one server to ask: pure, with the time passed in.
///
/// It stays with one address while that works, since the answers of another may lag behind. One that fails is left alone as
/// ``Reconnect`` says; whoever calls the server shares that, so that all of them together do not call it more often.
struct AddressPool {
    private struct Entry {
        let address: String
        var reconnect: Reconnect
    }

    private let configured: [String]
    private let pace: Reconnect.Pace
    private var entries: [Entry]
    private var current = 0
    /// When calls have failed lately.
    private var failures: [ContinuousClock.Instant] = []
    /// Until when the server has asked to be left alone.
    private var askedUntil: ContinuousClock.Instant?

    init(_ addresses: [String], pace: Reconnect.Pace = .usual) {
        // Written twice, an address that fails would be asked at once again.
        self.configured = addresses.reduce(into: []) { known, address in
            if !known.contains(address) { known.append(address) }
        }
        self.pace = pace
        self.entries = self.configured.map { Entry(address: $0, reconnect: Reconnect(pace)) }
    }

    /// Takes the registry's own word on its members; the configured addresses stay.
    mutating func setMembers(_ members: [String]) {
        let before = self.entries
        let current = before.isEmpty ? nil : before[self.current].address
        var addresses = self.configured
        for member in members where !addresses.contains(member) { addresses.append(member) }
        self.entries = addresses.map { address in
            before.first { $0.address == address } ?? Entry(address: address, reconnect: Reconnect(self.pace))
        }
        self.current = addresses.firstIndex { $0 == current } ?? 0
    }

    /// How many there are.
    var count: Int { self.entries.count }

    /// The one to ask now, or the one that may be asked soonest when all have failed.
    mutating func pick(at now: ContinuousClock.Instant) -> String {
        guard let index = self.best(at: now) else { return "" }
        self.current = index
        return self.entries[index].address
    }

    /// Takes the next attempt; `nil` when all have failed and none is to be asked yet.
    mutating func take(at now: ContinuousClock.Instant) -> String? {
        guard let index = self.best(at: now), self.entries[index].reconnect.takeTurn(at: now) else { return nil }
        self.current = index
        return self.entries[index].address
    }

    /// How long until an address may be asked; zero when one may.
    func pause(at now: ContinuousClock.Instant) -> Duration {
        self.entries.lazy.map { $0.reconnect.pause(at: now) }.min() ?? .zero
    }

    /// Whether the address to ask now has answered since it failed last.
    func isServing(at now: ContinuousClock.Instant) -> Bool {
        self.best(at: now).map { self.entries[$0].reconnect.isServing } ?? false
    }

    /// Whether the server may be called already during the pause because somebody waits: some seconds after the last
    /// failure, so seldom that all calls together stay below ten a minute, and not when it has asked for the pause itself.
    func mayHurry(at now: ContinuousClock.Instant) -> Bool {
        guard self.askedUntil.map({ $0 <= now }) ?? true, let last = self.failures.last else { return false }
        let lately = self.failures.count { now - $0 < self.pace.first * 60 }
        return now - last >= self.pace.first * 5 && lately < 7
    }

    mutating func succeeded(_ address: String, at now: ContinuousClock.Instant) {
        guard let index = self.entries.firstIndex(where: { $0.address == address }) else { return }
        self.entries[index].reconnect.answered(at: now)
    }

    /// - Parameter retryAfter: What the server has asked for, if it has.
    mutating func failed(_ address: String, at now: ContinuousClock.Instant, retryAfter: Duration? = nil) {
        self.failures = Array(self.failures.suffix(9)) + [now]
        if let retryAfter { self.askedUntil = max(self.askedUntil ?? now, now + min(retryAfter, self.pace.mostAsked)) }
        guard let index = self.entries.firstIndex(where: { $0.address == address }) else { return }
        self.entries[index].reconnect.failed(at: now, retryAfter: retryAfter)
    }

    private func best(at now: ContinuousClock.Instant) -> Int? {
        let order = self.entries.indices.map { (self.current + $0) % self.entries.count }
        let pauses = order.map { (index: $0, pause: self.entries[$0].reconnect.pause(at: now)) }
        // The first of those that are equal.
        return pauses.min { $0.pause < $1.pause }?.index
    }
}
