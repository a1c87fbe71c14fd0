// SPDX-License-Identifier: Apache-2.0

import Common

/// Which of several addresses of one server to ask: pure, with the time and the addresses of names passed in.
///
/// A name is as many addresses as it stands for, from one question to the next.
///
/// It stays with one address while that works, since the answers of another may lag behind. One that fails is left alone as
/// ``Reconnect`` says; whoever calls the server shares that, so that all of them together do not call it more often.
struct AddressPool {
    private struct Entry {
        let place: ServerPlace
        var reconnect: Reconnect
    }

    /// A server as it is configured, or as another one names it.
    private struct Server {
        let url: String
        let name: String?

        init(_ url: String) {
            self.url = url
            self.name = (try? ServerAddress(url)).flatMap { $0.isName ? $0.host : nil }
        }

        func places(_ addresses: (String) -> [String]?) -> [ServerPlace] {
            let known = self.name.flatMap(addresses) ?? []
            if known.isEmpty { return [ServerPlace(url: self.url, name: self.name, address: nil)] }
            return known.map { ServerPlace(url: self.url, name: self.name, address: $0) }
        }
    }

    private let configured: [String]
    private var servers: [Server]
    private let addresses: @Sendable (String) -> [String]?
    private let pace: Reconnect.Pace
    private var entries: [Entry]
    private var current = 0
    /// When calls have failed lately.
    private var failures: [ContinuousClock.Instant] = []
    /// Until when the server has asked to be left alone.
    private var askedUntil: ContinuousClock.Instant?

    /// A pool of servers, each of which is asked as `http://host:port` says.
    ///
    /// - Parameter addresses: What the name of a host stands for now; `nil` or nothing as long as nobody knows.
    init(
        _ urls: [String], pace: Reconnect.Pace = .usual,
        addresses: @escaping @Sendable (String) -> [String]? = { _ in nil }
    ) {
        // Written twice, an address that fails would be asked at once again.
        self.configured = Self.unique(urls)
        self.servers = self.configured.map { Server($0) }
        self.pace = pace
        self.addresses = addresses
        self.entries = []
        self.lookUp()
    }

    private static func unique<Element: Equatable>(_ elements: [Element]) -> [Element] {
        elements.reduce(into: []) { known, element in if !known.contains(element) { known.append(element) } }
    }

    /// Takes the registry's own word on its members; the configured addresses stay.
    mutating func setMembers(_ members: [String]) {
        self.servers = Self.unique(self.configured + members).map { Server($0) }
        self.lookUp()
    }

    /// The names whose addresses are asked for.
    var names: Set<String> { Set(self.servers.compactMap(\.name)) }

    /// Takes over what the names stand for now; what is known of an address stays as long as that does.
    private mutating func lookUp() {
        let places = Self.unique(self.servers.flatMap { $0.places(self.addresses) })
        guard places != self.entries.map(\.place) else { return }
        let before = self.entries
        let current = before.isEmpty ? nil : before[self.current].place
        self.entries = places.map { place in
            before.first { $0.place == place } ?? Entry(place: place, reconnect: Reconnect(self.pace))
        }
        self.current = places.firstIndex { $0 == current } ?? 0
    }

    /// How many places there are.
    var count: Int { self.entries.count }

    /// The one to ask now, or the one that may be asked soonest when all have failed.
    mutating func pick(at now: ContinuousClock.Instant) -> ServerPlace? {
        guard let index = self.best(at: now) else { return nil }
        self.current = index
        return self.entries[index].place
    }

    /// Takes the next attempt; `nil` when all have failed and none is to be asked yet.
    mutating func take(at now: ContinuousClock.Instant) -> ServerPlace? {
        guard let index = self.best(at: now), self.entries[index].reconnect.takeTurn(at: now) else { return nil }
        self.current = index
        return self.entries[index].place
    }

    /// How long until an address may be asked; zero when one may.
    mutating func pause(at now: ContinuousClock.Instant) -> Duration {
        self.lookUp()
        return self.entries.lazy.map { $0.reconnect.pause(at: now) }.min() ?? .zero
    }

    /// Whether the address to ask now has answered since it failed last.
    mutating func isServing(at now: ContinuousClock.Instant) -> Bool {
        self.best(at: now).map { self.entries[$0].reconnect.isServing } ?? false
    }

    /// Whether the server may be called already during the pause because somebody waits: some seconds after the last
    /// failure, so seldom that all calls together stay below ten a minute, and not when it has asked for the pause itself.
    func mayHurry(at now: ContinuousClock.Instant) -> Bool {
        guard self.askedUntil.map({ $0 <= now }) ?? true, let last = self.failures.last else { return false }
        let lately = self.failures.count { now - $0 < self.pace.first * 60 }
        return now - last >= self.pace.first * 5 && lately < 7
    }

    mutating func succeeded(_ place: ServerPlace, at now: ContinuousClock.Instant) {
        guard let index = self.entries.firstIndex(where: { $0.place == place }) else { return }
        self.entries[index].reconnect.answered(at: now)
    }

    /// - Parameter retryAfter: What the server has asked for, if it has.
    mutating func failed(_ place: ServerPlace, at now: ContinuousClock.Instant, retryAfter: Duration? = nil) {
        self.failures = Array(self.failures.suffix(9)) + [now]
        if let retryAfter { self.askedUntil = max(self.askedUntil ?? now, now + min(retryAfter, self.pace.mostAsked)) }
        guard let index = self.entries.firstIndex(where: { $0.place == place }) else { return }
        self.entries[index].reconnect.failed(at: now, retryAfter: retryAfter)
    }

    private mutating func best(at now: ContinuousClock.Instant) -> Int? {
        self.lookUp()
        let order = self.entries.indices.map { (self.current + $0) % self.entries.count }
        let pauses = order.map { (index: $0, pause: self.entries[$0].reconnect.pause(at: now)) }
        // The first of those that are equal.
        return pauses.min { $0.pause < $1.pause }?.index
    }
}
