// SPDX-License-Identifier: Apache-2.0

package import Common
import Hummingbird
import HummingbirdCore
import Logging
package import NIOCore
import Serving
package import TLS

/// Serves the API server over TLS, or kubelet and Prometheus in clear.
package actor WebhookComponent: Component {
    /// Whom it serves.
    package enum Kind: Sendable {
        /// The API server.
        case webhook(TLSMaterial)
        /// Kubelet, and Prometheus.
        case health
    }

    /// Whoever does nothing has to go when there are too many.
    ///
    /// The API server keeps its connections for 90 seconds, and must not find one closed that it is just using.
    private static let webhookLimits = {
        var limits = ServerLimits(places: 400, reserved: 8, probes: WebhookRoutes.probes)
        limits.keepAlive = .seconds(120)
        return limits
    }()
    private static let healthLimits = ServerLimits(places: 64, reserved: 8, probes: WebhookRoutes.probes)
    /// Connections to accept at a time, of either kind.
    package static let mostConnections = WebhookComponent.webhookLimits.mostConnections

    private let kind: Kind
    private let address: ListenAddress
    private let state: InjectorState
    private let loops: any EventLoopGroup
    private let onListening: @Sendable (any Channel) async -> Void
    private let server = OrderlyServer()

    /// A server on `address`.
    ///
    /// - Parameter onListening: Decides from then on when the channel accepts: for ``mostConnections`` at a time, and not
    ///   in a tight loop.
    package init(
        _ kind: Kind, address: ListenAddress, state: InjectorState, loops: any EventLoopGroup,
        onListening: @escaping @Sendable (any Channel) async -> Void = { _ in }
    ) {
        self.kind = kind
        self.address = address
        self.state = state
        self.loops = loops
        self.onListening = onListening
    }

    package func run() async throws {
        let (routes, places) = (WebhookRoutes(self.state, timers: self.loops), ServerPlaces(Self.webhookLimits))
        let (table, builder, what): (EndpointTable, HTTPServerBuilder, String)
        switch self.kind {
        case .webhook(let material):
            table = routes.webhook
            builder = HTTPServerBuilder { WebhookChannel(responder: $0, places: places, material: material) }
            what = "injector serves"
        case .health:
            table = routes.health
            builder = .limited(Self.healthLimits)
            what = "injector tells of itself"
        }
        let (address, loops, state, onListening) = (self.address, self.loops, self.state, self.onListening)
        let isWebhook = if case .webhook = self.kind { true } else { false }
        let responder = WebhookResponder(table: table, readiness: state.readiness)
        try await self.server.run { quiet in
            let application = Application(
                responder: responder, server: builder,
                configuration: ApplicationConfiguration(
                    address: .hostname(address.host, port: address.port), serverName: nil, backlog: 1_024),
                onServerRunning: { channel in
                    await onListening(channel)
                    if isWebhook { state.readiness.set(.listeners) }
                    state.logger.notice("\(what)", metadata: ["address": "\(address)"])
                },
                eventLoopGroupProvider: .shared(loops), logger: quiet)
            try await application.run()
        }
    }

    package func drain() async { await self.server.drain() }
}

/// Stopped first: the cluster learns that this replica leaves, while it goes on answering.
package actor LeavingComponent: Component {
    /// How long it takes until nobody is sent here any more.
    private static let notice = Duration.seconds(5)
    /// How long the drain takes at most.
    package static let drainLimit = Duration.seconds(6)

    private let readiness: Readiness

    /// Makes `readiness` red when the process stops.
    package init(_ readiness: Readiness) { self.readiness = readiness }

    package func run() async throws {
        while true { try await Task.sleep(for: .seconds(24 * 3600)) }
    }

    package func drain() async {
        self.readiness.beginStopping()
        try? await Task.sleep(for: Self.notice)
    }
}
