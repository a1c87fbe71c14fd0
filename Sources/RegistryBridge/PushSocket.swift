// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import NIOWebSocket

/// A WebSocket on which a server tells of changes.
enum PushSocket {
    /// The connection: frames in, frames out.
    typealias Connection = NIOAsyncChannel<WebSocketFrame, WebSocketFrame>

    /// There is nobody to connect to: it was never asked for a socket.
    struct NoConnection: Error {
        let cause: any Error
    }

    /// Where to connect, and what to say there.
    struct Target: Sendable {
        /// To connect to: an address.
        let host: String
        let port: Int
        let path: String
        let headers: HTTPHeaders
        let tls: NIOSSL.TLSConfiguration?
        /// What the certificate has to be for; `nil` for an address.
        let name: String?
        /// The server that it is of.
        let place: ServerPlace

        /// A path of a server, with field `Host`.
        ///
        /// - Parameter port: Where the server listens for it; `nil` for the port that is configured.
        /// - Returns: `nil` when nobody knows the address of its host.
        init?(
            _ place: ServerPlace, port: Int? = nil, path: String, headers: HTTPHeaders, tls: NIOSSL.TLSConfiguration?
        ) {
            guard place.isKnown, let server = try? ServerAddress(place.url) else { return nil }
            self.host = place.address ?? server.host
            self.port = port ?? server.port
            self.path = path
            var headers = headers
            headers.replaceOrAdd(name: "Host", value: "\(server.host.asHost):\(self.port)")
            self.headers = headers
            self.tls = tls
            self.name = place.name
            self.place = place
        }
    }

    /// Opens a connection, which closes itself when nothing has come for `silence`.
    ///
    /// Ends at once when the task is cancelled.
    ///
    /// - Parameter frameLimit: The most bytes of a message.
    /// - Returns: `nil` when the server answers with anything but 101.
    /// - Throws: ``NoConnection``; anything else from a server that has taken the connection.
    static func connect(
        _ target: Target, silence: TimeAmount, frameLimit: Int, loops: any EventLoopGroup
    ) async throws -> Connection? {
        let loop = loops.next()
        let upgrade = NIOLoopBoundBox.makeBoxSendingValue(EventLoopFuture<Connection?>?.none, eventLoop: loop)
        let address = try SocketAddress(ipAddress: target.host, port: target.port)
        let connected = ClientBootstrap(group: loop)
            .connectTimeout(.seconds(5))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    upgrade.value = try Self.upgrade(channel, target, silence, frameLimit)
                }
            }
            .connect(to: address)
            .flatMapErrorThrowing { throw NoConnection(cause: $0) }
            .flatMap { channel in upgrade.value ?? channel.eventLoop.makeSucceededFuture(nil) }
        return try await connected.getCancellable { late in
            Task { try await late?.executeThenClose { _, _ in } }
        }
    }

    private static func upgrade(
        _ channel: any Channel, _ target: Target, _ silence: TimeAmount, _ frameLimit: Int
    ) throws -> EventLoopFuture<Connection?> {
        if let tls = target.tls {
            try channel.pipeline.syncOperations.addHandler(
                NIOSSLClientHandler(context: NIOSSLContext(configuration: tls), serverHostname: target.name))
        }
        let upgrader = NIOTypedWebSocketClientUpgrader<Connection?>(maxFrameSize: frameLimit) { channel, _ in
            channel.eventLoop.makeCompletedFuture {
                let pipeline = channel.pipeline.syncOperations
                try pipeline.addHandler(IdleStateHandler(readTimeout: silence))
                try pipeline.addHandler(CloseWhenIdle())
                try pipeline.addHandler(
                    NIOWebSocketFrameAggregator(
                        minNonFinalFragmentSize: 0, maxAccumulatedFrameCount: 64, maxAccumulatedFrameSize: frameLimit))
                return try Connection(wrappingChannelSynchronously: channel)
            }
        }
        let head = HTTPRequestHead(version: .http1_1, method: .GET, uri: target.path, headers: target.headers)
        let configuration = NIOTypedHTTPClientUpgradeConfiguration<Connection?>(
            upgradeRequestHead: head, upgraders: [upgrader]
        ) { channel in
            channel.close().map { nil }
        }
        let upgrade = try channel.pipeline.syncOperations.configureUpgradableHTTPClientPipeline(
            configuration: .init(upgradeConfiguration: configuration))
        // A server that takes the connection and says nothing.
        let deadline = channel.eventLoop.scheduleTask(in: .seconds(10)) { channel.close(promise: nil) }
        upgrade.whenComplete { _ in deadline.cancel() }
        return upgrade
    }
}

/// Closes a connection on which nothing has come for too long.
private final class CloseWhenIdle: ChannelInboundHandler {
    typealias InboundIn = WebSocketFrame

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is IdleStateHandler.IdleStateEvent {
            context.close(promise: nil)
        } else {
            context.fireUserInboundEventTriggered(event)
        }
    }
}
