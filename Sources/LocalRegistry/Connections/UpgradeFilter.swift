// SPDX-License-Identifier: Apache-2.0

import NIOCore
import NIOHTTP1

/// Makes a plain request of one that asks for an upgrade and is not to get it, so that the routes answer it.
final class UpgradeFilter: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart

    private let isWanted: @Sendable (HTTPRequestHead) -> Bool

    /// - Parameter isWanted: Whether a request may be upgraded.
    init(isWanted: @escaping @Sendable (HTTPRequestHead) -> Bool) { self.isWanted = isWanted }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard case .head(var head) = self.unwrapInboundIn(data), head.headers.contains(name: "Upgrade"),
            !self.isWanted(head)
        else { return context.fireChannelRead(data) }
        head.headers.remove(name: "Upgrade")
        context.fireChannelRead(self.wrapInboundOut(.head(head)))
    }
}
