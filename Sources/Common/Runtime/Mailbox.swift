// SPDX-License-Identifier: Apache-2.0

import DequeModule
import Synchronization

/// A bounded, typed queue into one component.
///
/// It outlives the component's restarts, which is why it is not an `AsyncStream`: cancelling the consumer of a stream
/// finishes the stream for good, and a restarted component would be deaf. `send` never suspends, so event loops may
/// call it. Delivery is at most once: a message taken by a receiver that is cancelled right then is gone with it.
package final class Mailbox<Message: Sendable>: Sendable, MailboxReport {
    /// What `send` gives up when the mailbox is full.
    package enum WhenFull: Sendable {
        /// The message being sent: for requests, where the oldest is the most urgent.
        case dropNewest
        /// The message that has waited longest: for facts, where the newest is the true one.
        case dropOldest
    }

    private struct Waiter {
        let id: UInt64
        let continuation: CheckedContinuation<Message?, Never>
    }

    private struct State {
        var queue: Deque<Message>
        var waiter: Waiter?
        var lastWaiterID: UInt64 = 0
        var dropped = 0
    }

    private enum OnReceive {
        case message(Message)
        case wait
        case cancelled
    }

    /// Names the mailbox in metrics and logs.
    package let name: String
    /// How many messages may wait.
    package let capacity: Int
    private let whenFull: WhenFull
    private let state: Mutex<State>

    /// An empty mailbox.
    ///
    /// - Parameter name: The receiving component, as metrics name it.
    /// - Parameter capacity: How many messages may wait; at least 1.
    package init(_ name: String, capacity: Int, whenFull: WhenFull) {
        precondition(capacity > 0, "mailbox \(name) needs a capacity")
        self.name = name
        self.capacity = capacity
        self.whenFull = whenFull
        self.state = Mutex(State(queue: Deque(minimumCapacity: capacity)))
    }

    /// Messages dropped since the start, over all restarts of the receiver.
    package var dropped: Int { self.state.withLock { $0.dropped } }

    /// Messages that wait now.
    package var waiting: Int { self.state.withLock { $0.queue.count } }

    /// Puts a message in.
    ///
    /// Never suspends; callable from any thread.
    ///
    /// - Returns: `false` when the mailbox was full and a message was dropped, this one or the oldest by policy.
    @discardableResult
    package func send(_ message: Message) -> Bool {
        let (waiter, isKept) = self.state.withLock { state -> (Waiter?, Bool) in
            if let waiter = state.waiter.take() { return (waiter, true) }
            guard state.queue.count >= self.capacity else {
                state.queue.append(message)
                return (nil, true)
            }
            state.dropped += 1
            if self.whenFull == .dropOldest {
                state.queue.removeFirst()
                state.queue.append(message)
            }
            return (nil, false)
        }
        // Outside the lock: resuming enqueues a job on an executor.
        waiter?.continuation.resume(returning: message)
        return isKept
    }

    /// The next message, oldest first; waits for one.
    ///
    /// One receiver at a time: a second one is a programming error.
    ///
    /// - Returns: `nil` when this task is cancelled; the mailbox stays open for the next receiver.
    package func receive() async -> Message? {
        let id = self.state.withLock { state in
            state.lastWaiterID += 1
            return state.lastWaiterID
        }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let action = self.state.withLock { state -> OnReceive in
                    // Inside the lock, or `onCancel` may have come and gone before the waiter is stored.
                    if Task.isCancelled { return .cancelled }
                    if let message = state.queue.popFirst() { return .message(message) }
                    precondition(state.waiter == nil, "two receivers on mailbox \(self.name)")
                    state.waiter = Waiter(id: id, continuation: continuation)
                    return .wait
                }
                switch action {
                case .message(let message): continuation.resume(returning: message)
                case .cancelled: continuation.resume(returning: nil)
                case .wait: break
                }
            }
        } onCancel: {
            // The id keeps a late cancellation from resuming a successor.
            let waiter = self.state.withLock { state in
                state.waiter?.id == id ? state.waiter.take() : nil
            }
            waiter?.continuation.resume(returning: nil)
        }
    }
}

extension Mailbox {
    /// Every message that waits, oldest first; waits for one until `deadline`.
    ///
    /// - Returns: Nothing when the time is over, or when this task is cancelled.
    package func receiveAll(until deadline: ContinuousClock.Instant) async -> [Message] {
        let first = await withTaskGroup(of: Message?.self) { group in
            group.addTask { await self.receive() }
            group.addTask {
                try? await Task.sleep(until: deadline)
                return nil
            }
            var message: Message?
            for await result in group {
                // A message that came together with the deadline must not be lost.
                message = message ?? result
                group.cancelAll()
            }
            return message
        }
        guard let first else { return [] }
        return [first]
            + self.state.withLock { state in
                defer { state.queue.removeAll() }
                return Array(state.queue)
            }
    }
}

/// What metrics show of a mailbox, whatever its message type.
package protocol MailboxReport: Sendable {
    /// Names the mailbox.
    var name: String { get }
    /// How many messages may wait.
    var capacity: Int { get }
    /// Messages that wait now.
    var waiting: Int { get }
    /// Messages dropped since the start.
    var dropped: Int { get }
}
