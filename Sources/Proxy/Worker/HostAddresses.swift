// SPDX-License-Identifier: Apache-2.0
// request path

package import Common
package import NIOCore
import NIOPosix

/// The addresses of external hosts, as one event loop has learned them.
///
/// The system's resolver is asked on a thread of its own. An answer is used for half a minute; then the next request
/// has it asked again while the old answer is used on, and an answer that fails leaves the last good one in use.
///
/// - Source: promise U10.
package final class HostAddresses {
    /// What is known of a host.
    package enum Answer {
        case endpoint(Endpoint)
        /// Nothing yet; ask again when this succeeds, which it always does.
        case pending(EventLoopFuture<Void>)
        /// The resolver knows no such host, or cannot say.
        case unknown
    }

    private struct Place: Hashable {
        let host: String
        let port: UInt16
    }

    private struct Entry {
        var endpoint: Endpoint?
        var until = NIODeadline.uptimeNanoseconds(0)
        var lookUp: EventLoopFuture<Void>?
    }

    /// How long an answer is used before the resolver is asked again.
    private static let lifetime = TimeAmount.seconds(30)
    /// The same when there was none.
    private static let failureLifetime = TimeAmount.seconds(5)
    private static let capacity = 10_000

    private let eventLoop: any EventLoop
    private var entries: [Place: Entry] = [:]

    init(eventLoop: any EventLoop) { self.eventLoop = eventLoop }

    /// Where `host` is.
    ///
    /// - Parameter host: In lower case.
    package func look(_ host: String, port: UInt16, at now: NIODeadline) -> Answer {
        let key = Place(host: host, port: port)
        let entry = self.entries[key] ?? Entry()
        if now < entry.until { return entry.endpoint.map { .endpoint($0) } ?? .unknown }
        let lookUp = entry.lookUp ?? self.ask(key)
        if let endpoint = entry.endpoint { return .endpoint(endpoint) }
        return .pending(lookUp)
    }

    private func ask(_ key: Place) -> EventLoopFuture<Void> {
        if self.entries.count >= Self.capacity { self.entries = self.entries.filter { $0.value.lookUp != nil } }
        let answer = NIOThreadPool.singleton.runIfActive(eventLoop: self.eventLoop) {
            try SocketAddress.makeAddressResolvingHost(key.host, port: Int(key.port))
        }
        let isDone = self.eventLoop.makePromise(of: Void.self)
        answer.assumeIsolated().whenComplete { result in
            self.learn(try? result.get(), key)
            isDone.succeed()
        }
        self.entries[key, default: Entry()].lookUp = isDone.futureResult
        return isDone.futureResult
    }

    private func learn(_ address: SocketAddress?, _ key: Place) {
        var entry = self.entries[key] ?? Entry()
        entry.lookUp = nil
        let endpoint = address?.ipAddress.flatMap { ip in
            try? Endpoint("rest://\(ip.contains(":") ? "[\(ip)]" : ip):\(key.port)")
        }
        // The same object for the same address: connections are kept by it.
        if let endpoint, endpoint.description != entry.endpoint?.description { entry.endpoint = endpoint }
        entry.until = .now() + (endpoint == nil ? Self.failureLifetime : Self.lifetime)
        self.entries[key] = entry
    }
}
