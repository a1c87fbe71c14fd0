// SPDX-License-Identifier: Apache-2.0

import NIOCore
import NIOHTTP1

/// Ends connections that do nothing, or whose heads are too long.
///
/// - Source: service-center 2.2: 60 seconds, 32 KiB, and no answer to either.
final class ConnectionLimits: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = NIOAny

    /// How long a connection may neither send nor take anything.
    static let idle = TimeAmount.seconds(60)
    /// Octets in all fields of a head.
    static let head = 32 << 10

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is IdleStateHandler.IdleStateEvent {
            context.close(promise: nil)
        } else {
            context.fireUserInboundEventTriggered(event)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if case HTTPParserError.headerOverflow = error {
            context.close(promise: nil)
        } else {
            context.fireErrorCaught(error)
        }
    }
}
