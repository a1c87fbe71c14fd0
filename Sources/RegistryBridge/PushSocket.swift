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

    /// Where to connect, and what to say there.
    struct Target: Sendable {
        let host: String
        let port: Int
        let path: String
        let headers: HTTPHeaders
        let tls: NIOSSL.TLSConfiguration?

        /// A host as it stands in URLs.
        static func bracketed(_ host: String) -> String { host.contains(":") ? "[\(host)]" : host }
    }

    /// Opens a connection, which closes itself when nothing has come for `silence`.
    ///
    /// Ends at once when the task is cancelled.
    ///
    /// - Parameter frameLimit: The most bytes of a message.
    /// - Returns: `nil` when the server answers with anything but 101.
    static func connect(
        _ target: Target, silence: TimeAmount, frameLimit: Int, loops: any EventLoopGroup
    ) async throws -> Connection? {
        let loop = loops.next()
        // A name with several addresses makes several channels, of which one is used.
        let upgrades = NIOLoopBoundBox.makeBoxSendingValue(
            [ObjectIdentifier: EventLoopFuture<Connection?>](), eventLoop: loop)
        let connected = ClientBootstrap(group: loop)
            .connectTimeout(.seconds(5))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    upgrades.value[ObjectIdentifier(channel)] = try Self.upgrade(channel, target, silence, frameLimit)
                }
            }
            .connect(host: target.host, port: target.port)
            .flatMap { channel in
                upgrades.value[ObjectIdentifier(channel)] ?? channel.eventLoop.makeSucceededFuture(nil)
            }
        return try await connected.getCancellable { late in
            Task { try await late?.executeThenClose { _, _ in } }
        }
    }

    private static func upgrade(
        _ channel: any Channel, _ target: Target, _ silence: TimeAmount, _ frameLimit: Int
    ) throws -> EventLoopFuture<Connection?> {
        if let tls = target.tls {
            let name = (try? SocketAddress(ipAddress: target.host, port: 0)) == nil ? target.host : nil
            try channel.pipeline.syncOperations.addHandler(
                NIOSSLClientHandler(context: NIOSSLContext(configuration: tls), serverHostname: name))
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
