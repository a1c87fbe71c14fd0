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
    /// When the server was called last although it was to be left alone.
    private var insisted: ContinuousClock.Instant?
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

    /// How long until the server may be called for somebody who waits: a second after the last failure, and then every
    /// eight, but no longer than ``pause(at:)``, and as long as it has asked for itself.
    mutating func hurriedPause(at now: ContinuousClock.Instant) -> Duration {
        let pause = self.pause(at: now)
        guard pause > .zero, self.askedUntil.map({ $0 <= now }) ?? true, self.mayInsist(at: now),
            let last = self.failures.last
        else { return pause }
        let begin = last + self.pace.first
        let next = self.insisted.map { max(begin, $0 + self.pace.first * 8) } ?? begin
        return min(pause, max(.zero, next - now))
    }

    /// Whether the server may be called although it is to be left alone: not when all calls together would become more than
    /// ten a minute to an address.
    func mayInsist(at now: ContinuousClock.Instant) -> Bool {
        self.failures.count { now - $0 < self.pace.first * 60 } < self.mostFailures
    }

    /// How many failures in a minute leave room for one more call and for those whose turn it is.
    private var mostFailures: Int { 8 * max(1, self.entries.count) }

    /// Where to call it although it is to be left alone.
    mutating func insist(at now: ContinuousClock.Instant) -> ServerPlace? {
        self.insisted = now
        return self.pick(at: now)
    }

    mutating func succeeded(_ place: ServerPlace, at now: ContinuousClock.Instant) {
        guard let index = self.entries.firstIndex(where: { $0.place == place }) else { return }
        self.entries[index].reconnect.answered(at: now)
    }

    /// - Parameter retryAfter: What the server has asked for, if it has.
    mutating func failed(_ place: ServerPlace, at now: ContinuousClock.Instant, retryAfter: Duration? = nil) {
        self.failures = Array(self.failures.suffix(self.mostFailures)) + [now]
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
