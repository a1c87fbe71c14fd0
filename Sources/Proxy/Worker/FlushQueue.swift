// SPDX-License-Identifier: Apache-2.0
// request path

import NIOCore

/// What was written in one turn of an event loop and goes out at its end, so that the other side is not woken once for
/// each message.
///
/// It owns the scratch buffer that messages are put together in, and those that were lent to channels until they are
/// flushed.
package final class FlushQueue {
    /// Messages are put together here and written at once.
    ///
    /// Never in use across a call to another connection.
    var scratch = ByteBufferAllocator().buffer(capacity: 32 * 1024)

    private let eventLoop: any EventLoop
    /// Channels with something written and not flushed.
    private var unflushed: [ChannelHandlerContext] = []
    private var dirty: [HTTP2Connection] = []
    private var isScheduled = false
    /// Those of this turn, while they are flushed; empty otherwise, so that they can be exchanged.
    private var flushing: [ChannelHandlerContext] = []
    private var flushingShared: [HTTP2Connection] = []
    /// What was written to channels in this turn.
    private var lent: [ByteBuffer] = []
    private var spare: [ByteBuffer] = []

    init(eventLoop: any EventLoop) { self.eventLoop = eventLoop }

    /// Flushes a channel when the loop has looked at everything that has come in this turn.
    ///
    /// The scratch buffer was written to the channel, and is lent until then.
    func add(_ context: ChannelHandlerContext, _ worker: Worker) {
        self.schedule(worker)
        self.unflushed.append(context)
        var next = self.spare.popLast() ?? ByteBufferAllocator().buffer(capacity: 4 * 1024)
        swap(&self.scratch, &next)
        self.lent.append(next)
    }

    /// The same for a connection that gathers what it sends by itself.
    func add(_ connection: HTTP2Connection, _ worker: Worker) {
        self.schedule(worker)
        self.dirty.append(connection)
    }

    @inline(__always)
    private func schedule(_ worker: Worker) {
        if self.isScheduled { return }
        self.isScheduled = true
        // Of the worker alone: a closure with two things to hold would be memory for each turn.
        self.eventLoop.assumeIsolated().execute { worker.flush() }
    }

    /// The turn is over.
    func flush() {
        self.isScheduled = false
        // Whatever comes while these are flushed goes out in the next turn.
        swap(&self.unflushed, &self.flushing)
        swap(&self.dirty, &self.flushingShared)
        for connection in self.flushingShared { connection.flush() }
        for context in self.flushing { context.flush() }
        self.flushingShared.removeAll(keepingCapacity: true)
        self.flushing.removeAll(keepingCapacity: true)
        // Those of messages that flushing has called forth as well: what is still in use is not written over.
        while self.spare.count < 64, let buffer = self.lent.popLast() { self.spare.append(buffer) }
        self.lent.removeAll(keepingCapacity: true)
    }
}
