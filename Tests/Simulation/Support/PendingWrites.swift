// SPDX-License-Identifier: Apache-2.0

import DequeModule
import NIOCore

/// What was written to a channel and is not in the kernel.
///
/// - Source: swift-nio, `PendingStreamWritesManager`.
final class PendingWrites {
    enum State {
        case open
        /// Waits for what was written, or is about to be closed.
        case closing(EventLoopPromise<Void>?)
        case closed
    }

    enum Closing {
        case later
        case now(EventLoopPromise<Void>?)
    }

    struct Result {
        /// Nothing that was flushed is left.
        var isComplete = false
        var writabilityChange = false
        var state = State.open
    }

    private enum One {
        case complete, partial, wouldBlock
    }

    private var queue: Deque<(data: ByteBuffer, promise: EventLoopPromise<Void>?)> = []
    private var flushed = 0
    private(set) var bytes = 0
    private(set) var isWritable = true
    private var publishedWritability = true
    private var state = State.open
    var waterMark = ChannelOptions.Types.WriteBufferWaterMark(low: 32 * 1024, high: 64 * 1024)
    var spinCount: UInt = 16

    var isFlushPending: Bool { self.flushed > 0 }

    func markFlushed() { self.flushed = self.queue.count }

    /// - Returns: `false` when the channel has stopped being writable by it.
    func add(_ data: ByteBuffer, _ promise: EventLoopPromise<Void>?) -> Bool {
        self.queue.append((data, promise))
        self.bytes += data.readableBytes
        guard self.bytes > self.waterMark.high, self.isWritable else { return true }
        self.isWritable = false
        self.publishedWritability = false
        return false
    }

    /// Writes what was flushed, as far as the kernel takes it.
    func write(to socket: SimulatedSocket, while isOpen: () -> Bool) throws(IOError) -> Result {
        var result = Result()
        spinning: for _ in 0...self.spinCount {
            var one: One
            repeat {
                guard isOpen(), self.flushed > 0 else {
                    result.isComplete = true
                    result.state = self.state
                    break spinning
                }
                one = try self.writeOnce(to: socket)
                if one == .wouldBlock { break spinning }
            } while one == .complete
        }
        if !self.publishedWritability {
            result.writabilityChange = self.isWritable
            self.publishedWritability = self.isWritable
        }
        return result
    }

    /// One gathering write.
    private func writeOnce(to socket: SimulatedSocket) throws(IOError) -> One {
        var done: [EventLoopPromise<Void>] = []
        var one = One.complete
        var hasWritten = false
        while self.flushed > 0 {
            guard let count = try socket.write(self.queue[0].data) else {
                one = hasWritten ? .partial : .wouldBlock
                break
            }
            hasWritten = true
            self.bytes -= count
            guard count == self.queue[0].data.readableBytes else {
                self.queue[0].data.moveReaderIndex(forwardBy: count)
                one = .partial
                break
            }
            if let promise = self.queue.removeFirst().promise { done.append(promise) }
            self.flushed -= 1
        }
        if hasWritten, self.bytes < self.waterMark.low { self.isWritable = true }
        for promise in done { promise.succeed(()) }
        return one
    }

    /// The sending side is to be closed behind what was written.
    func closeOutbound(_ promise: EventLoopPromise<Void>?) -> Closing {
        switch self.state {
        case .open: self.state = .closing(promise)
        case .closing(var first):
            first.setOrCascade(to: promise)
            self.state = .closing(first)
        case .closed: return .now(promise)
        }
        guard self.queue.isEmpty, case .closing(let promise) = self.state else { return .later }
        return .now(promise)
    }

    func failAll(_ error: any Error) {
        let closing: EventLoopPromise<Void>? = if case .closing(let promise) = self.state { promise } else { nil }
        self.state = .closed
        let queue = self.queue
        self.queue = []
        self.flushed = 0
        self.bytes = 0
        for (_, promise) in queue { promise?.fail(error) }
        closing?.fail(error)
    }
}
