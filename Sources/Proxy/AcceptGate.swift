// SPDX-License-Identifier: Apache-2.0

import Common
import Logging
import NIOCore

/// Decides when a listener accepts: not beyond its budget, not while the process has hardly any memory left, and not in
/// a tight loop when it has run out of descriptors.
///
/// Connections that are not accepted wait in the kernel's queue.
///
/// - Source: limit L4, promises U6 and U14.
final class AcceptGate: ChannelDuplexHandler {
    typealias InboundIn = any Channel
    typealias OutboundIn = Never

    /// How soon a listener that does not accept looks again.
    private static let pause = TimeAmount.milliseconds(50)

    private let budget: ConnectionBudget
    private let overload: OverloadState
    private let logger: Logger
    private let waits: Counter
    private var isPaused = false
    /// Whether the last attempt failed, which is said once.
    private var isFailing = false

    init(_ budget: ConnectionBudget, overload: OverloadState, waits: Counter, logger: Logger) {
        self.budget = budget
        self.overload = overload
        self.waits = waits
        self.logger = logger
    }

    func read(context: ChannelHandlerContext) {
        guard !self.isPaused else { return }
        if self.hasRoom { context.read() } else { self.pause(context) }
    }

    private var hasRoom: Bool { self.budget.hasRoom && self.overload.level < .critical }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.isFailing = false
        context.fireChannelRead(data)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // EMFILE and its kin: the connection stays in the queue, so the channel would try again at once, for ever.
        if !self.isFailing { self.logger.warning("cannot accept connections", metadata: ["error": "\(error)"]) }
        self.isFailing = true
        try? context.channel.syncOptions?.setOption(.autoRead, value: false)
        if !self.isPaused { self.pause(context) }
    }

    private func pause(_ context: ChannelHandlerContext) {
        self.isPaused = true
        self.waits.addShared()
        context.eventLoop.assumeIsolated().scheduleTask(in: Self.pause) { self.resume(context) }
    }

    private func resume(_ context: ChannelHandlerContext) {
        guard context.channel.isActive else { return }
        guard self.hasRoom else {
            self.pause(context)
            return
        }
        self.isPaused = false
        // Turning it on again reads, without asking this handler.
        let isStopped = try? context.channel.syncOptions?.getOption(.autoRead) == false
        if isStopped == true {
            try? context.channel.syncOptions?.setOption(.autoRead, value: true)
        } else {
            context.read()
        }
    }
}
