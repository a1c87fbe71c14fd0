// SPDX-License-Identifier: Apache-2.0

import Common
import Foundation
import HTTPTypes
import HummingbirdCore
import Logging
import NIOCore
import NIOHTTP1
import NIOHTTPTypes
import NIOHTTPTypesHTTP1
import NIOWebSocket

/// HTTP/1.1 whose watcher path turns into a WebSocket.
///
/// Hummingbird's own WebSocket package would do the same; this is all that is needed of it.
struct WatchChannel: ServerChildChannel, HTTPChannelHandler {
    enum Connection {
        case http(NIOAsyncChannel<HTTPRequestPart, HTTPResponsePart>)
        case watcher(NIOAsyncChannel<WebSocketFrame, WebSocketFrame>, tenant: String, consumer: String)
    }

    struct Value: ServerChildChannelValue {
        let channel: any Channel
        let connection: EventLoopFuture<Connection>
    }

    let responder: Responder
    let store: RegistryStore

    private static let pingInterval = Duration.seconds(30)

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        channel.eventLoop.makeCompletedFuture {
            let upgrader = NIOTypedWebSocketServerUpgrader<Connection>(
                maxFrameSize: 1_024,
                shouldUpgrade: { channel, head in
                    channel.eventLoop.makeSucceededFuture(Self.consumer(head.uri) == nil ? nil : HTTPHeaders())
                },
                upgradePipelineHandler: { channel, head in
                    channel.eventLoop.makeCompletedFuture {
                        let (project, consumer) = Self.consumer(head.uri) ?? ("", "")
                        let domain = head.headers.first(name: "X-Domain-Name") ?? "default"
                        return .watcher(
                            try NIOAsyncChannel(wrappingChannelSynchronously: channel),
                            tenant: "\(domain)/\(project)", consumer: consumer)
                    }
                })
            let upgrades = NIOTypedHTTPServerUpgradeConfiguration<Connection>(upgraders: [upgrader]) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(HTTP1ToHTTPServerCodec(secure: false))
                    return .http(
                        try NIOAsyncChannel(
                            wrappingChannelSynchronously: channel,
                            configuration: .init(isOutboundHalfClosureEnabled: true)))
                }
            }
            let connection = try channel.pipeline.syncOperations.configureUpgradableHTTPServerPipeline(
                configuration: .init(upgradeConfiguration: upgrades))
            return Value(channel: channel, connection: connection)
        }
    }

    func handle(value: Value, logger: Logger) async {
        // Whoever goes away before the first request is no news.
        guard let connection = try? await value.connection.get() else { return }
        switch connection {
        case .http(let channel): await self.handleHTTP(asyncChannel: channel, logger: logger)
        case .watcher(let channel, let tenant, let consumer):
            try? await self.serve(channel, tenant, consumer)
        }
    }

    /// The project and the service in `/v4/{project}/registry/microservices/{sid}/watcher`.
    private static func consumer(_ uri: String) -> (project: String, consumer: String)? {
        let parts = uri.prefix { $0 != "?" }.split(separator: "/")
        guard parts.count == 6, parts[0] == "v4", parts[2] == "registry", parts[3] == "microservices",
            parts[5] == "watcher"
        else { return nil }
        return (String(parts[1]), String(parts[4]))
    }

    private func serve(
        _ channel: NIOAsyncChannel<WebSocketFrame, WebSocketFrame>, _ tenant: String, _ consumer: String
    ) async throws {
        try await channel.executeThenClose { inbound, outbound in
            guard let (events, id) = await self.store.watch(tenant, consumer: consumer) else {
                // Bare words and the end of the connection, as the real one does.
                try await outbound.write(Self.text(Data("service does not exist".utf8)))
                return
            }
            await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    for await event in events { try await outbound.write(Self.text(JSONEncoder().encode(event))) }
                }
                group.addTask {
                    while true {
                        try await Task.sleep(for: Self.pingInterval)
                        try await outbound.write(WebSocketFrame(fin: true, opcode: .ping, data: ByteBuffer()))
                    }
                }
                group.addTask {
                    for try await frame in inbound {
                        switch frame.opcode {
                        case .ping:
                            try await outbound.write(
                                WebSocketFrame(fin: true, opcode: .pong, data: frame.unmaskedData))
                        case .connectionClose:
                            try await outbound.write(
                                WebSocketFrame(fin: true, opcode: .connectionClose, data: frame.unmaskedData))
                            return
                        default: break
                        }
                    }
                }
                _ = try? await group.next()
                group.cancelAll()
            }
            await self.store.unwatch(tenant, consumer: consumer, id: id)
        }
    }

    private static func text(_ data: Data) -> WebSocketFrame {
        WebSocketFrame(fin: true, opcode: .text, data: ByteBuffer(bytes: data))
    }
}
