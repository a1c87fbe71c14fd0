// SPDX-License-Identifier: Apache-2.0
// request path

package import Common
package import NIOCore
import Synchronization

/// The addresses of external hosts, as one event loop has learned them.
///
/// The resolver is asked on threads of its own. An answer is used for five seconds; then the next request has it asked again
/// while the old answer is used on, and an answer that fails leaves the last good one in use. Of several addresses one is
/// used as long as it is among the answers and takes connections.
///
/// - Source: promise U10.
package final class HostAddresses {
    /// What is known of a host.
    package enum Answer {
        case endpoint(Endpoint)
        /// Nothing yet; ask again when this succeeds, which it always does.
        case pending(EventLoopFuture<Void>)
        /// The resolver knows no such host, or does not say in time.
        case unknown
    }

    private struct Place: Hashable {
        let host: String
        let port: UInt16
    }

    private struct Entry {
        /// The first one is used.
        var endpoints: [Endpoint] = []
        var until = NIODeadline.uptimeNanoseconds(0)
        var lookUp: EventLoopPromise<Void>?
    }

    /// Tells the resolver's threads whether the loop still runs.
    private final class Life: Sendable {
        let isOver = Atomic<Bool>(false)
    }

    /// How long an answer is used before the resolver is asked again.
    private static let lifetime = TimeAmount.seconds(5)
    private static let capacity = 10_000

    private let eventLoop: any EventLoop
    private let resolver: NameResolver
    private let life = Life()
    private var entries: [Place: Entry] = [:]

    init(eventLoop: any EventLoop, resolver: NameResolver) {
        self.eventLoop = eventLoop
        self.resolver = resolver
    }

    /// Where `host` is.
    ///
    /// - Parameter host: In lower case.
    /// - Parameter asker: Those whose names share the threads of the resolver.
    /// - Parameter limit: How long the first answer is waited for; one that comes later still counts.
    package func look(
        _ host: String, port: UInt16, for asker: NameResolver.Asker, within limit: TimeAmount, at now: NIODeadline
    ) -> Answer {
        let key = Place(host: host, port: port)
        let entry = self.entries[key] ?? Entry()
        if now < entry.until { return entry.endpoints.first.map { .endpoint($0) } ?? .unknown }
        // Nobody would answer any more.
        if self.life.isOver.load(ordering: .relaxed) { return .unknown }
        let lookUp = entry.lookUp ?? self.ask(key, asker, limit)
        if let endpoint = entry.endpoints.first { return .endpoint(endpoint) }
        return .pending(lookUp.futureResult)
    }

    /// A connection could not be made: the next request for this host goes to another address of it.
    package func failed(_ endpoint: Endpoint, of host: String) {
        let key = Place(host: host, port: UInt16(endpoint.port))
        guard let entry = self.entries[key], entry.endpoints.count > 1, entry.endpoints.first === endpoint else {
            return
        }
        self.entries[key]?.endpoints = Array(entry.endpoints.dropFirst()) + [endpoint]
    }

    /// Nothing is learned any more, and nobody waits any longer; called when the loop is about to end.
    package func stop() {
        self.life.isOver.store(true, ordering: .relaxed)
        let lookUps = self.entries.values.compactMap { $0.lookUp }
        // Before anybody goes on, who might look again.
        self.entries.removeAll()
        for lookUp in lookUps { lookUp.succeed() }
    }

    private func ask(_ key: Place, _ asker: NameResolver.Asker, _ limit: TimeAmount) -> EventLoopPromise<Void> {
        if self.entries.count >= Self.capacity { self.entries = self.entries.filter { $0.value.lookUp != nil } }
        let isDone = self.eventLoop.makePromise(of: Void.self)
        self.entries[key, default: Entry()].lookUp = isDone
        let (loop, life) = (self.eventLoop, self.life)
        let bound = NIOLoopBound(self, eventLoop: loop)
        let late = loop.assumeIsolated().scheduleTask(in: limit) { self.learn(nil, key) }
        self.resolver.ask(key.host, for: asker) { found in
            guard !life.isOver.load(ordering: .relaxed) else { return }
            loop.execute {
                late.cancel()
                bound.value.learn(found, key)
            }
        }
        return isDone
    }

    private func learn(_ addresses: [String]?, _ key: Place) {
        var entry = self.entries[key] ?? Entry()
        let lookUp = entry.lookUp.take()
        let known = entry.endpoints
        let found = (addresses ?? []).compactMap { address in
            try? Endpoint("rest://\(address.asHost):\(key.port)")
        }
        if !found.isEmpty {
            // The same objects for the same addresses: connections are kept by them. The order of before stays, too, so that
            // requests do not change their address with each answer.
            let kept = known.filter { old in found.contains { $0.ip == old.ip } }
            entry.endpoints = kept + found.filter { new in !known.contains { $0.ip == new.ip } }
        }
        entry.until = .now() + Self.lifetime
        self.entries[key] = entry
        lookUp?.succeed()
    }
}
