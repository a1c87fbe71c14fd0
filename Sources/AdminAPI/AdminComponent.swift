// SPDX-License-Identifier: Apache-2.0

package import Common
import Hummingbird
import HummingbirdCore
package import Logging
package import NIOCore
import Serving

/// Serves operators, on an event loop of its own: what they ask never delays traffic, and traffic never delays them.
package actor AdminComponent: Component {
    /// What it serves.
    package enum Kind: Sendable {
        /// The admin API and the page.
        case api
        /// Profiles of the process.
        case profiles
    }

    /// Few places: whoever looks after the sidecar must not take the descriptors that traffic needs.
    static let limits = ServerLimits(places: 64, reserved: 8, probes: ["/healthz", "/readyz"])
    /// Connections to accept at a time.
    package static let mostConnections = AdminComponent.limits.mostConnections
    /// How long what is being answered may go on when the process stops.
    package static let drainLimit = Duration.seconds(2)

    private let kind: Kind
    private let address: ListenAddress
    private let state: AdminState
    private let loops: any EventLoopGroup
    private let logger: Logger
    private let onListening: @Sendable (any Channel) async -> Void
    private let server = OrderlyServer()

    /// A component that listens on `address`, on `loops` that serve no traffic.
    ///
    /// - Parameter onListening: Decides from then on when the channel accepts: for ``mostConnections`` at a time, and not
    ///   in a tight loop.
    package init(
        _ kind: Kind = .api, address: ListenAddress, state: AdminState, loops: any EventLoopGroup, logger: Logger,
        onListening: @escaping @Sendable (any Channel) async -> Void = { _ in }
    ) {
        self.onListening = onListening
        self.kind = kind
        self.address = address
        self.state = state
        self.loops = loops
        self.logger = logger
    }

    package func run() async throws {
        let (table, what, path) =
            switch self.kind {
            case .api: (AdminRoutes(state: self.state).table, "admin API serves", "")
            case .profiles: (ProfilingRoutes(state: self.state).table, "profiles can be taken", "debug/pprof/")
            }
        let (address, loops, logger, onListening) = (self.address, self.loops, self.logger, self.onListening)
        try await self.server.run { quiet in
            let application = Application(
                responder: table, server: .limited(Self.limits),
                configuration: ApplicationConfiguration(
                    address: .hostname(address.host, port: address.port), serverName: nil, backlog: 4_096),
                onServerRunning: { channel in
                    await onListening(channel)
                    logger.notice("\(what)", metadata: ["url": "http://\(address)/\(path)"])
                },
                eventLoopGroupProvider: .shared(loops), logger: quiet)
            try await application.run()
        }
    }

    package func drain() async { await self.server.drain() }
}
