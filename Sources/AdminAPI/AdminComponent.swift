// SPDX-License-Identifier: Apache-2.0

package import Common
import Hummingbird
import HummingbirdCore
package import Logging
package import NIOCore

/// Serves operators, on an event loop of its own: what they ask never delays traffic, and traffic never delays them.
package actor AdminComponent: Component {
    /// What it serves.
    package enum Kind: Sendable {
        /// The admin API and the page.
        case api
        /// Profiles of the process.
        case profiles
    }

    /// Connections at a time: whoever looks after the sidecar must not take the descriptors that traffic needs.
    package static let mostConnections = 64
    /// How long a connection may be without a request, or a request without its end.
    private static let idle = TimeAmount.seconds(15)

    private let kind: Kind
    private let address: ListenAddress
    private let state: AdminState
    private let loops: any EventLoopGroup
    private let logger: Logger
    private let onListening: @Sendable (any Channel) async -> Void

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
        var quiet = self.logger
        quiet.logLevel = .critical  // the server's ways of starting and stopping are not news
        let (table, what, path) =
            switch self.kind {
            case .api: (AdminRoutes(state: self.state).table, "admin API serves", "")
            case .profiles: (ProfilingRoutes(state: self.state).table, "profiles can be taken", "debug/pprof/")
            }
        let application = Application(
            responder: table,
            server: .http1(configuration: .init(idleTimeout: Self.idle)),
            configuration: ApplicationConfiguration(
                address: .hostname(self.address.host, port: self.address.port), serverName: nil),
            onServerRunning: { [logger, address, onListening] channel in
                await onListening(channel)
                logger.notice("\(what)", metadata: ["url": "http://\(address)/\(path)"])
            },
            eventLoopGroupProvider: .shared(self.loops), logger: quiet)
        try await application.run()
    }
}
