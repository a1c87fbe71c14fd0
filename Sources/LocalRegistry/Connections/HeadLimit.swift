// SPDX-License-Identifier: Apache-2.0

import NIOCore
import NIOHTTP1

/// Ends connections whose heads are too long.
///
/// - Source: service-center 2.2: 32 KiB, and no answer to more.
final class HeadLimit: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = NIOAny

    /// In all fields of a head.
    static let octets = 32 << 10

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if case HTTPParserError.headerOverflow = error {
            context.close(promise: nil)
        } else {
            context.fireErrorCaught(error)
        }
    }
}
