// SPDX-License-Identifier: Apache-2.0

package import Common
package import Logging
package import NIOCore

/// Decides when a listener accepts: not beyond its budget, not while memory is running out, and not in a tight loop when
/// the process has run out of descriptors.
///
/// Connections that are not accepted wait in the kernel's queue. The listener's channel reads only when told, which is
/// this handler's business alone. Our own listeners' connections are set up by the gate as well, which spares each the
/// futures of NIO's bootstrap.
///
/// - Source: limit L4, promises U6 and U14.
package final class AcceptGate: ChannelDuplexHandler {
    package typealias InboundIn = any Channel
    /// What other handlers of the listener are given.
    package typealias InboundOut = any Channel
    /// Nothing is written to a listener.
    package typealias OutboundIn = Never

    /// What a gate goes by.
    package struct Rules: Sendable {
        let budget: ConnectionBudget
        let overload: Overload?
        let pauses: Counter
        let logger: Logger

        /// Rules for one listener, or for one after the other of the same place.
        ///
        /// - Parameter overload: `nil` for a listener that is needed most when memory runs out.
        /// - Parameter metrics: Where pauses are counted.
        package init(_ budget: ConnectionBudget, overload: Overload?, metrics: MetricsRegistry, logger: Logger) {
            self.budget = budget
            self.overload = overload
            self.pauses = metrics.counter(
                "mesher_accept_pauses",
                help: "Times a listener stopped accepting for a while: budget or descriptors used up.")
            self.logger = logger
        }
    }

    /// Makes a connection of an accepted channel, on the channel's event loop and before anything is read from it.
    ///
    /// It adds, last of all, the handler that gives the place in the budget back when it is removed; if it throws, no
    /// handler has the place.
    typealias SetUp = @Sendable (any Channel, ConnectionBudget) throws -> Void

    /// To be triggered when what the gate goes by has changed.
    struct Reconsider: Sendable {}

    /// How soon a listener that does not accept looks again.
    static let pause = TimeAmount.milliseconds(50)
    /// Connections that are accepted in one go, where the budget allows.
    static let burst = 16

    private let rules: Rules
    private let setUp: SetUp?
    private var isPaused = false
    /// Whether the last attempt failed, which is said once.
    private var isFailing = false
    private var readsPerEvent = 0

    /// - Parameter setUp: `nil` where a library makes the connections, in handlers behind this one.
    init(_ rules: Rules, setUp: SetUp?) {
        self.rules = rules
        self.setUp = setUp
    }

    /// Puts a gate in front of a channel that a library listens on; nothing happens when it is closed already.
    package static func add(to channel: any Channel, _ rules: Rules) async {
        try? await channel.eventLoop.submit {
            try channel.pipeline.syncOperations.addHandler(AcceptGate(rules, setUp: nil), position: .first)
        }.get()
    }

    package func handlerAdded(context: ChannelHandlerContext) {
        guard context.channel.isActive else { return }
        self.withdraw(context)
        self.accept(context)
    }

    package func channelActive(context: ChannelHandlerContext) {
        context.fireChannelActive()
        self.accept(context)
    }

    /// Nobody else says when to accept: a library's server would ask at once after a failure.
    package func read(context: ChannelHandlerContext) {}

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.isFailing = false
        // Counted here and not when its handler is there, which may be on another loop and later.
        let budget = self.rules.budget
        budget.enter()
        let child = Self.unwrapInboundIn(data)
        guard let setUp = self.setUp else {
            child.closeFuture.whenComplete { _ in budget.leave() }
            context.fireChannelRead(data)
            return
        }
        if child.eventLoop === context.eventLoop {
            Self.begin(child, budget, setUp)
        } else {
            child.eventLoop.execute { Self.begin(child, budget, setUp) }
        }
    }

    /// Sets a channel up and lets it read.
    ///
    /// Once there is a handler, the place in the budget is its own, whatever becomes of the channel: a channel that cannot
    /// be registered is closed, and its handlers are removed.
    private static func begin(_ child: any Channel, _ budget: ConnectionBudget, _ setUp: SetUp) {
        do {
            try setUp(child, budget)
        } catch {
            budget.leave()
            child.close(promise: nil)
            return
        }
        // What the bootstrap comes to as well, by way of a task and two futures for each connection.
        child._channelCore.registerAlreadyConfigured0(promise: nil)
    }

    package func channelReadComplete(context: ChannelHandlerContext) {
        context.fireChannelReadComplete()
        self.accept(context)
    }

    package func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // EMFILE and its kin: the connection stays in the queue, so the channel would try again at once, for ever.
        if !self.isFailing { self.rules.logger.warning("cannot accept connections", metadata: ["error": "\(error)"]) }
        self.isFailing = true
        self.withdraw(context)
        self.pause(context)
    }

    /// Asks again whether to accept, if that is the event.
    package func triggerUserOutboundEvent(context: ChannelHandlerContext, event: Any, promise: EventLoopPromise<Void>?)
    {
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
        let room = min(self.rules.budget.room, Self.burst)
        guard room > 0, self.rules.overload?.refusesRequests != true else {
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
        self.rules.pauses.addShared()
        context.eventLoop.assumeIsolated().scheduleTask(in: Self.pause) {
            self.isPaused = false
            if context.channel.isActive { self.accept(context) }
        }
    }
}
