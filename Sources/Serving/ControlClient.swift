// SPDX-License-Identifier: Apache-2.0

package import AsyncHTTPClient
import Common
package import NIOCore
import NIOHTTPCompression
import Synchronization

/// Calls servers of the control plane, each at the address that it is told: it looks no name up.
///
/// Field `Host` and the name for TLS are those of the request's URL. Whether and when to try again is decided elsewhere.
package final class ControlClient: Sendable {
    /// A name, and the address to connect to instead.
    private struct Pin: Hashable {
        let name: String
        let address: String
    }

    private struct Pinned {
        let client: HTTPClient
        var calls = 0
        var lastUse = ContinuousClock.now
    }

    private struct State {
        /// The library takes addresses of names when a client is made, so there is a client for each.
        var pinned: [Pin: Pinned] = [:]
        var isClosed = false
    }

    /// How many are kept for addresses that nobody calls just now.
    private static let mostIdle = 8

    private let bodyLimit: Int
    private let loops: any EventLoopGroup
    private let plain: HTTPClient
    private let state = Mutex(State())

    /// A client without connections.
    ///
    /// - Parameter bodyLimit: The largest answer that is taken, unpacked.
    package init(bodyLimit: Int, loops: any EventLoopGroup) {
        self.bodyLimit = bodyLimit
        self.loops = loops
        self.plain = Self.client(bodyLimit, loops, [:])
    }

    private static func client(
        _ bodyLimit: Int, _ loops: any EventLoopGroup, _ addresses: [String: String]
    ) -> HTTPClient {
        var configuration = HTTPClient.Configuration(
            redirectConfiguration: .disallow, decompression: .enabled(limit: .size(bodyLimit)))
        configuration.timeout.connect = .seconds(2)
        // A service-center closes an idle connection after exactly a minute, without notice.
        configuration.connectionPool.idleTimeout = .seconds(50)
        configuration.connectionPool.retryConnectionEstablishment = false
        configuration.httpVersion = .http1Only
        configuration.dnsOverride = addresses
        return HTTPClient(eventLoopGroupProvider: .shared(loops), configuration: configuration)
    }

    /// Makes a call and takes the whole answer; see ``AsyncHTTPClient/HTTPClient/whole(_:limit:timeout:silence:cutsBody:)``.
    ///
    /// - Parameter name: The host of the request's URL, when that is a name.
    /// - Parameter address: What it stands for; `nil` when the URL has an address.
    package func whole(
        _ request: HTTPClientRequest, name: String?, at address: String?, timeout: Duration, silence: Duration? = nil,
        cutsBody: Bool = false
    ) async throws -> HTTPClient.WholeAnswer {
        guard let name, let address else {
            return try await self.plain.whole(
                request, limit: self.bodyLimit, timeout: timeout, silence: silence, cutsBody: cutsBody)
        }
        let pin = Pin(name: name, address: address)
        let client = try self.take(pin)
        defer { self.giveBack(pin) }
        return try await client.whole(
            request, limit: self.bodyLimit, timeout: timeout, silence: silence, cutsBody: cutsBody)
    }

    private func take(_ pin: Pin) throws -> HTTPClient {
        try self.state.withLock { state in
            if state.isClosed { throw HTTPClientError.alreadyShutdown }
            var pinned =
                state.pinned[pin] ?? Pinned(client: Self.client(self.bodyLimit, self.loops, [pin.name: pin.address]))
            pinned.calls += 1
            state.pinned[pin] = pinned
            return pinned.client
        }
    }

    private func giveBack(_ pin: Pin) {
        let old = self.state.withLock { state -> [HTTPClient] in
            state.pinned[pin]?.calls -= 1
            state.pinned[pin]?.lastUse = .now
            let idle = state.pinned.filter { $0.value.calls == 0 }.sorted { $0.value.lastUse < $1.value.lastUse }
            return idle.prefix(max(0, idle.count - Self.mostIdle)).compactMap {
                state.pinned.removeValue(forKey: $0.key)?.client
            }
        }
        for client in old { client.shutdown { _ in } }
    }

    /// Closes the connections; nothing may be called afterwards.
    package func close() async {
        let pinned = self.state.withLock { state in
            defer { state.pinned = [:] }
            state.isClosed = true
            return state.pinned.values.map(\.client)
        }
        await withTaskGroup(of: Void.self) { group in
            for client in pinned + [self.plain] { group.addTask { await client.close() } }
        }
    }
}
