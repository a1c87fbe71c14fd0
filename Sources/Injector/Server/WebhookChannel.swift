// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import HummingbirdCore
import Logging
import NIOCore
import NIOHTTP1
import NIOHTTPTypes
import NIOHTTPTypesHTTP1
import NIOSSL
import Serving
import TLS

/// HTTP/1.1 over TLS, each connection with what the material has when it is opened.
struct WebhookChannel: ServerChildChannel, HTTPChannelHandler {
    typealias Value = NIOAsyncChannel<HTTPRequestPart, HTTPResponsePart>

    /// In all fields of a head.
    private static let longestHead = 32 << 10

    let responder: Responder
    let places: ServerPlaces
    let material: TLSMaterial

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        channel.eventLoop.makeCompletedFuture {
            let pipeline = channel.pipeline.syncOperations
            // Without a place it is being closed, and nothing comes of the rest.
            let served = ServedConnection(channel, self.places)
            guard let context = self.material.context(.http1) else { throw ChannelError.ioOnClosedChannel }
            try pipeline.addHandler(NIOSSLServerHandler(context: context))
            var limits = NIOHTTPDecoderLimitConfiguration()
            limits.maxHeaderListSize = Self.longestHead
            limits.maxHeaderFieldSize = Self.longestHead
            try pipeline.configureHTTPServerPipeline(
                withPipeliningAssistance: false, withErrorHandling: false, withOutboundHeaderValidation: false,
                withEncoderConfiguration: .init(), withDecoderLimitConfiguration: limits)
            try pipeline.addHandler(HTTP1ToHTTPServerCodec(secure: true))
            if let served { try pipeline.addHandler(ServedConnectionHandler(self.places, served)) }
            // Few pieces of a body wait here: who has to wait for room waits in the kernel.
            return try NIOAsyncChannel(
                wrappingChannelSynchronously: channel,
                configuration: .init(
                    backPressureStrategy: .init(lowWatermark: 1, highWatermark: 4), isOutboundHalfClosureEnabled: true))
        }
    }

    func handle(value: Value, logger: Logger) async { await self.handleHTTP(asyncChannel: value, logger: logger) }
}
