// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore

/// Looks at the first byte of a connection, which tells TLS from plain text, and leaves the pipeline to what speaks it.
///
/// Requests pay nothing for it.
///
/// - Source: RFC 8446 §5.1: a connection of TLS begins with a record of the type 22, which begins no request.
final class PlainOrTLS: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer

    private static var handshake: UInt8 { 22 }

    private let worker: Worker
    private let limit: TimeAmount
    private var budget: ConnectionBudget?
    private let secure: (any Channel) throws -> Void
    private let plain: (any Channel) throws -> Void
    private var timer: Scheduled<Void>?

    /// - Parameter limit: How long the client may take for it.
    /// - Parameter budget: Where the connection has a place, which is given back here unless somebody takes over.
    /// - Parameter secure: Adds the handlers of TLS, which answer for the place from then on, unless it throws.
    /// - Parameter plain: Adds the handler of plain text, likewise.
    init(
        worker: Worker, limit: TimeAmount, budget: ConnectionBudget, secure: @escaping (any Channel) throws -> Void,
        plain: @escaping (any Channel) throws -> Void
    ) {
        self.worker = worker
        self.limit = limit
        self.budget = budget
        self.secure = secure
        self.plain = plain
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.timer = context.eventLoop.assumeIsolated().scheduleTask(in: self.limit) {
            self.worker.metrics.count(.keepAliveTime)
            context.close(promise: nil)
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.timer?.cancel()
        self.budget.take()?.leave()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard let budget = self.budget else { return context.fireChannelRead(data) }
        let input = Self.unwrapInboundIn(data)
        guard let first = input.getInteger(at: input.readerIndex, as: UInt8.self) else { return }
        self.budget = nil
        do {
            try first == Self.handshake ? self.secure(context.channel) : self.plain(context.channel)
        } catch {
            budget.leave()
            context.close(promise: nil)
            return
        }
        context.fireChannelRead(data)
        context.pipeline.syncOperations.removeHandler(self, promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
