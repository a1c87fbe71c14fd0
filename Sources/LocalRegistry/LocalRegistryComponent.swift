// SPDX-License-Identifier: Apache-2.0

package import Common
import Hummingbird
import HummingbirdCore
package import NIOCore
import Serving

/// A service-center for one machine: the part of API v4 that clients use, in memory.
///
/// For development and tests. What is registered ends with the process. Nobody needs to log in, unless a test has made
/// accounts at `/faults`.
package actor LocalRegistryComponent: Component {
    /// Many places, of which a sidecar has two; whoever is idle keeps its own for a minute.
    ///
    /// - Source: service-center 2.2 for the minute.
    private static let limits = {
        var limits = ServerLimits(places: 4_096)
        limits.request = .seconds(60)
        return limits
    }()
    /// Connections to accept at a time.
    package static let mostConnections = LocalRegistryComponent.limits.mostConnections

    private let address: ListenAddress
    private let version: String
    private let allowsFaults: Bool
    private let loops: any EventLoopGroup
    private let onListening: @Sendable (any Channel) async -> Void
    private let onServing: @Sendable (_ port: Int) async -> Void
    private let server = OrderlyServer()

    /// A registry on `address`.
    ///
    /// - Parameter version: What it calls its own version.
    /// - Parameter allowsFaults: Whether `/faults` makes it fail on demand, for tests of clients.
    /// - Parameter onServing: Called with the port when it accepts requests.
    /// - Parameter onListening: Decides from then on when the channel accepts: for ``mostConnections`` at a time, and not
    ///   in a tight loop.
    package init(
        address: ListenAddress, version: String, allowsFaults: Bool = false, loops: any EventLoopGroup,
        onServing: @escaping @Sendable (_ port: Int) async -> Void = { _ in },
        onListening: @escaping @Sendable (any Channel) async -> Void = { _ in }
    ) {
        self.address = address
        self.version = version
        self.allowsFaults = allowsFaults
        self.loops = loops
        self.onListening = onListening
        self.onServing = onServing
    }

    package func run() async throws {
        let store = RegistryStore()
        let faults = self.allowsFaults ? Faults() : nil
        let routes = RegistryRoutes(
            store: store, address: self.address.description, version: self.version, faults: faults)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await self.serve(routes, store, faults) }
            group.addTask { try await store.expire() }
            try await group.next()
            group.cancelAll()
        }
    }

    private func serve(_ routes: RegistryRoutes, _ store: RegistryStore, _ faults: Faults?) async throws {
        let (address, loops) = (self.address, self.loops)
        let (onListening, onServing) = (self.onListening, self.onServing)
        let (table, places) = (routes.makeTable(), ServerPlaces(Self.limits))
        try await self.server.run { quiet in
            let application = Application(
                responder: table,
                server: HTTPServerBuilder {
                    RegistryChannel(responder: $0, store: store, faults: faults, places: places)
                },
                configuration: ApplicationConfiguration(
                    address: .hostname(address.host, port: address.port), serverName: nil),
                onServerRunning: {
                    await onListening($0)
                    await onServing($0.localAddress?.port ?? 0)
                },
                eventLoopGroupProvider: .shared(loops), logger: quiet)
            try await application.run()
        }
    }

    package func drain() async { await self.server.drain() }
}
