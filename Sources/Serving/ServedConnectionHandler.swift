// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
package import NIOCore
package import NIOHTTPTypes

/// Tells a ``ServedConnection`` what is asked and answered, and refuses what a place for probes is not for.
package final class ServedConnectionHandler: ChannelDuplexHandler, RemovableChannelHandler {
    package typealias InboundIn = HTTPRequestPart
    /// What is let through.
    package typealias InboundOut = HTTPRequestPart
    /// Parts of answers.
    package typealias OutboundIn = HTTPResponsePart
    package typealias OutboundOut = HTTPResponsePart

    private let places: ServerPlaces
    private var connection: ServedConnection?
    private var isRefusing = false

    /// - Parameter connection: `nil` where the connection begins with this handler.
    package init(_ places: ServerPlaces, _ connection: ServedConnection? = nil) {
        self.places = places
        self.connection = connection
    }

    package func handlerAdded(context: ChannelHandlerContext) {
        if self.connection == nil { self.connection = ServedConnection(context.channel, self.places) }
    }

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard let connection = self.connection, !self.isRefusing else { return }
        switch Self.unwrapInboundIn(data) {
        case .head(let head):
            connection.note { $0.requestBegan(at: .now()) }
            if connection.isReserved, !connection.limits.probes.contains(Self.path(head)) {
                return self.refuse(context, connection)
            }
        case .body: break
        case .end: connection.note { $0.requestEnded(at: .now()) }
        }
        context.fireChannelRead(data)
    }

    /// Passes parts of answers on, and looks at them.
    package func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard let connection = self.connection else { return context.write(data, promise: promise) }
        switch Self.unwrapOutboundIn(data) {
        case .head(var head):
            guard connection.isReserved else { break }
            head.headerFields[.connection] = "close"
            return context.write(Self.wrapOutboundOut(.head(head)), promise: promise)
        case .body(let bytes): connection.note { $0.wrote(bytes.readableBytes) }
        case .end:
            connection.note { $0.answerEnded(at: .now()) }
            guard connection.isReserved else { break }
            return Self.end(context, connection, data, promise)
        }
        context.write(data, promise: promise)
    }

    private func refuse(_ context: ChannelHandlerContext, _ connection: ServedConnection) {
        self.isRefusing = true
        let ordinary = connection.limits.places - connection.limits.reserved
        let body = ByteBuffer(
            string: "{\"error\":\"\(ordinary) connections are busy, and the others are for probes\","
                + "\"remedy\":\"close some of them\"}")
        let fields: HTTPFields = [
            .connection: "close", .contentType: "application/json", .contentLength: "\(body.readableBytes)",
        ]
        context.write(
            Self.wrapOutboundOut(.head(HTTPResponse(status: .serviceUnavailable, headerFields: fields))), promise: nil)
        context.write(Self.wrapOutboundOut(.body(body)), promise: nil)
        Self.end(context, connection, Self.wrapOutboundOut(.end(nil)), nil)
    }

    /// Writes the end of an answer, and closes when the kernel has all of it.
    private static func end(
        _ context: ChannelHandlerContext, _ connection: ServedConnection, _ data: NIOAny,
        _ promise: EventLoopPromise<Void>?
    ) {
        connection.leaves()
        let written = promise ?? context.eventLoop.makePromise()
        let channel = context.channel
        written.futureResult.whenComplete { _ in channel.close(promise: nil) }
        context.writeAndFlush(data, promise: written)
    }

    private static func path(_ head: HTTPRequest) -> String { String((head.path ?? "").prefix { $0 != "?" }) }
}
