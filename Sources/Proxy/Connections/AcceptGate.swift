// SPDX-License-Identifier: Apache-2.0

import Common
import Logging
import NIOCore

/// Decides when a listener accepts: not beyond its budget, not while memory is running out, and not in a tight loop when
/// the process has run out of descriptors.
///
/// Connections that are not accepted wait in the kernel's queue. The listener's channel reads only when told, which is
/// this handler's business alone.
///
/// - Source: limit L4, promises U6 and U14.
final class AcceptGate: ChannelDuplexHandler {
    typealias InboundIn = any Channel
    typealias InboundOut = any Channel
    typealias OutboundIn = Never

    /// To be triggered when what the gate goes by has changed.
    struct Reconsider: Sendable {}

    /// How soon a listener that does not accept looks again.
    private static let pause = TimeAmount.milliseconds(50)
    /// Connections that are accepted in one go, where the budget allows.
    private static let burst = 16

    private let budget: ConnectionBudget
    private let overload: Overload
    private let logger: Logger
    private let waits: Counter
    private var isPaused = false
    /// Whether the last attempt failed, which is said once.
    private var isFailing = false
    private var readsPerEvent = 0

    init(_ budget: ConnectionBudget, overload: Overload, waits: Counter, logger: Logger) {
        self.budget = budget
        self.overload = overload
        self.waits = waits
        self.logger = logger
    }

    func channelActive(context: ChannelHandlerContext) {
        context.fireChannelActive()
        self.accept(context)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.isFailing = false
        // Counted here and not when its handler is there, which is on another loop and later.
        let budget = self.budget
        budget.enter()
        Self.unwrapInboundIn(data).closeFuture.whenComplete { _ in budget.leave() }
        context.fireChannelRead(data)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        context.fireChannelReadComplete()
        self.accept(context)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // EMFILE and its kin: the connection stays in the queue, so the channel would try again at once, for ever.
        if !self.isFailing { self.logger.warning("cannot accept connections", metadata: ["error": "\(error)"]) }
        self.isFailing = true
        self.withdraw(context)
        self.pause(context)
    }

    func triggerUserOutboundEvent(context: ChannelHandlerContext, event: Any, promise: EventLoopPromise<Void>?) {
        guard event is Reconsider else {
            context.triggerUserOutboundEvent(event, promise: promise)
            return
        }
        self.withdraw(context)
        self.accept(context)
        promise?.succeed()
    }

    /// Lets the channel accept what there is room for, now or after a pause.
    private func accept(_ context: ChannelHandlerContext) {
        guard !self.isPaused else { return }
        let room = min(self.budget.room, Self.burst)
        guard room > 0, !self.overload.refusesRequests else {
            self.pause(context)
            return
        }
        if room != self.readsPerEvent {
            self.readsPerEvent = room
            try? context.channel.syncOptions?.setOption(.maxMessagesPerRead, value: UInt(room))
        }
        context.read()
    }

    /// Takes back what the channel was told before: turning the option on and off is the way to do it.
    private func withdraw(_ context: ChannelHandlerContext) {
        let options = context.channel.syncOptions
        try? options?.setOption(.autoRead, value: true)
        try? options?.setOption(.autoRead, value: false)
    }

    private func pause(_ context: ChannelHandlerContext) {
        guard !self.isPaused else { return }
        self.isPaused = true
        self.waits.addShared()
        context.eventLoop.assumeIsolated().scheduleTask(in: Self.pause) {
            self.isPaused = false
            if context.channel.isActive { self.accept(context) }
        }
    }
}
