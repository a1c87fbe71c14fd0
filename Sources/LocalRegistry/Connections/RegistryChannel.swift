// SPDX-License-Identifier: Apache-2.0

import Common
import HTTPTypes
import HummingbirdCore
import Logging
import NIOCore
import NIOHTTP1
import NIOHTTPCompression
import NIOHTTPTypes
import NIOHTTPTypesHTTP1
import NIOWebSocket
import Serving

/// HTTP/1.1 some of whose paths turn into WebSockets.
///
/// Hummingbird's own WebSocket package would do the same; this is all that is needed of it.
struct RegistryChannel: ServerChildChannel, HTTPChannelHandler {
    enum Connection {
        case http(NIOAsyncChannel<HTTPRequestPart, HTTPResponsePart>)
        case socket(RegistrySocket)
        /// A test wants it to be lost.
        case lost
    }

    struct Value: ServerChildChannelValue {
        let channel: any Channel
        let connection: EventLoopFuture<Connection>
    }

    /// The shortest answer that is compressed.
    private static let compressed = 1_400

    let responder: Responder
    let store: RegistryStore
    let faults: Faults?
    let places: ServerPlaces

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        channel.eventLoop.makeCompletedFuture {
            let pipeline = channel.pipeline.syncOperations
            // Without a place it is being closed, and nothing comes of the rest.
            let served = NIOLoopBound(ServedConnection(channel, self.places), eventLoop: channel.eventLoop)
            let upgrader = NIOTypedWebSocketServerUpgrader<Connection>(
                maxFrameSize: 4_096,
                shouldUpgrade: { channel, head in self.delay(head, on: channel) },
                upgradePipelineHandler: { channel, head in
                    channel.eventLoop.makeCompletedFuture {
                        served.value?.upgraded()
                        return try self.upgrade(channel, head)
                    }
                })
            let upgrades = NIOTypedHTTPServerUpgradeConfiguration<Connection>(upgraders: [upgrader]) { channel in
                channel.eventLoop.makeCompletedFuture { try self.serve(channel, served.value) }
            }
            var configuration = NIOUpgradableHTTPServerPipelineConfiguration(upgradeConfiguration: upgrades)
            configuration.decoderConfiguration.maxHeaderListSize = HeadLimit.octets
            configuration.decoderConfiguration.maxHeaderFieldSize = HeadLimit.octets
            let connection = try pipeline.configureUpgradableHTTPServerPipeline(configuration: configuration)
            try pipeline.addHandler(
                HeadLimit(),
                position: .after(try pipeline.handler(type: ByteToMessageHandler<HTTPRequestDecoder>.self)))
            try pipeline.addHandler(
                UpgradeFilter { self.isWanted($0) },
                position: .before(try pipeline.handler(type: NIOTypedHTTPServerUpgradeHandler<Connection>.self)))
            return Value(channel: channel, connection: connection)
        }
    }

    func handle(value: Value, logger: Logger) async {
        // Whoever goes away before the first request is no news.
        guard let connection = try? await value.connection.get() else { return }
        switch connection {
        case .http(let channel): await self.handleHTTP(asyncChannel: channel, logger: logger)
        case .socket(let socket): try? await socket.serve()
        case .lost: break
        }
    }

    /// What is no upgrade.
    private func serve(_ channel: any Channel, _ served: ServedConnection?) throws -> Connection {
        let compressor = HTTPResponseCompressor { head, _ in
            let length = head.headers.first(name: "Content-Length").flatMap(Int.init) ?? 0
            return length < Self.compressed ? .doNotCompress : .compressIfPossible
        }
        try channel.pipeline.syncOperations.addHandlers([compressor, HTTP1ToHTTPServerCodec(secure: false)])
        if let served {
            try channel.pipeline.syncOperations.addHandler(ServedConnectionHandler(self.places, served))
        }
        return .http(
            try NIOAsyncChannel(
                wrappingChannelSynchronously: channel, configuration: .init(isOutboundHalfClosureEnabled: true)))
    }

    private func upgrade(_ channel: any Channel, _ head: HTTPRequestHead) throws -> Connection {
        let pipeline = channel.pipeline.syncOperations
        pipeline.removeHandler(try pipeline.handler(type: UpgradeFilter.self), promise: nil)
        if self.faults?.peek("GET", head.uri)?.lose == .after {
            _ = self.faults?.take("GET", head.uri)
            channel.close(promise: nil)
            return .lost
        }
        guard let path = SocketPath(head.uri) else { return .lost }
        return .socket(
            RegistrySocket(
                channel: try NIOAsyncChannel(wrappingChannelSynchronously: channel), path: path,
                domain: head.headers.first(name: HTTPField.Name.domainName.rawName), store: self.store))
    }

    /// Whether a request becomes a WebSocket; otherwise the routes answer it.
    private func isWanted(_ head: HTTPRequestHead) -> Bool {
        guard head.method == .GET, SocketPath(head.uri) != nil, head.headers["Sec-WebSocket-Version"] == ["13"],
            head.headers["Sec-WebSocket-Key"].count == 1
        else { return false }
        guard let faults = self.faults else { return true }
        if faults.accounts.isOn, (try? faults.accounts.check(head.headers.first(name: "Authorization"))) == nil {
            return false
        }
        let rule = faults.peek("GET", head.uri)
        return rule?.status == nil || rule?.lose != nil
    }

    /// Lets an upgrade go wrong as tests have asked for.
    private func delay(_ head: HTTPRequestHead, on channel: any Channel) -> EventLoopFuture<HTTPHeaders?> {
        guard let faults = self.faults, let rule = faults.peek("GET", head.uri) else {
            return channel.eventLoop.makeSucceededFuture(HTTPHeaders())
        }
        // What is lost afterwards counts when it is lost.
        if rule.lose != .after { _ = faults.take("GET", head.uri) }
        return channel.eventLoop.scheduleTask(in: TimeAmount(rule.delay?.duration ?? .zero)) { () -> HTTPHeaders? in
            if rule.lose == .before { channel.close(promise: nil) }
            return HTTPHeaders()
        }.futureResult
    }
}
