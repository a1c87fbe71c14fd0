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
    private var hasError = false

    init(_ budget: ConnectionBudget, overload: OverloadState, waits: Counter, logger: Logger) {
        self.budget = budget
        self.overload = overload
        self.waits = waits
        self.logger = logger
    }

    func read(context: ChannelHandlerContext) {
        guard !self.isPaused else { return }
        guard self.budget.hasRoom, !self.hasError, self.overload.level < .critical else {
            self.pause(context)
            return
        }
        context.read()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // EMFILE and its kin: the pending connection stays pending, so the next attempt would fail at once.
        self.hasError = true
        self.logger.warning("cannot accept a connection", metadata: ["error": "\(error)"])
    }

    private func pause(_ context: ChannelHandlerContext) {
        self.isPaused = true
        self.waits.addShared()
        context.eventLoop.assumeIsolated().scheduleTask(in: Self.pause) {
            self.isPaused = false
            self.hasError = false
            if context.channel.isActive { self.read(context: context) }
        }
    }
}
