// SPDX-License-Identifier: Apache-2.0

import Dispatch
import Synchronization

/// The lines that wait between those who log and the one thread that writes.
///
/// The writer sleeps on a semaphore when there is nothing, and rests a little after each batch, so that under load one
/// write takes many lines and nobody who logs has to wake it.
final class LogQueue: Sendable {
    /// What the writer takes at once.
    struct Batch {
        /// Whole lines.
        var bytes: [UInt8] = []
        /// How many.
        var lines = 0
        /// Lines that came after these and found no room.
        var dropped = 0
        /// Settings that begin to hold at a place in `bytes`, in order.
        var changes: [(offset: Int, settings: LogSettings)] = []
        /// Nobody will write any more.
        var isLast = false
        fileprivate var waiting: [DispatchSemaphore] = []

        /// Whether there is nothing to do.
        fileprivate var isEmpty: Bool {
            self.lines == 0 && self.dropped == 0 && self.changes.isEmpty && self.waiting.isEmpty && !self.isLast
        }

        /// Says that all of it is written.
        func finish() { for semaphore in self.waiting { semaphore.signal() } }
    }

    private struct State {
        var pending = Batch()
        /// The writer has found nothing and waits to be woken.
        var isAsleep = false
        /// The writer rests, and was told not to.
        var isHurried = false
    }

    /// How long the writer rests after a batch.
    private static let rest = DispatchTimeInterval.milliseconds(2)

    /// The ``Logger/Level/code`` of the shared level.
    let level: Atomic<UInt8>
    /// The raw value of the format.
    let format: Atomic<UInt8>
    let linesWritten = Counter()
    let linesDropped = Counter()
    let errors = Counter()
    let rotations = Counter()
    private let capacity: Int
    private let state: Mutex<State>
    private let wake = DispatchSemaphore(value: 0)

    init(_ settings: LogSettings, capacity: Int) {
        self.level = Atomic(settings.level.code)
        self.format = Atomic(settings.format.rawValue)
        self.capacity = capacity
        var state = State()
        // All of it at once, so that nothing grows under the lock; memory that is never touched costs nothing.
        state.pending.bytes.reserveCapacity(capacity)
        state.pending.changes = [(0, settings)]
        self.state = Mutex(state)
    }

    func append(_ line: some Collection<UInt8>, lines: Int) {
        let mustWake = self.state.withLock { state in
            let count = state.pending.bytes.count + line.count
            // After a loss, what comes next waits until the writer has taken the loss to say so in the right place.
            guard count <= self.capacity, state.pending.dropped == 0 else {
                state.pending.dropped += lines
                self.linesDropped.addShared(lines)
                return false
            }
            state.pending.bytes.append(contentsOf: line)
            state.pending.lines += lines
            if count > self.capacity / 2, !state.isHurried {
                state.isHurried = true
                return true
            }
            guard state.isAsleep else { return false }
            state.isAsleep = false
            return true
        }
        if mustWake { self.wake.signal() }
    }

    func apply(_ settings: LogSettings) {
        self.state.withLock { state in
            state.pending.changes.append((state.pending.bytes.count, settings))
            state.isAsleep = false
            self.level.store(settings.level.code, ordering: .relaxed)
            self.format.store(settings.format.rawValue, ordering: .relaxed)
        }
        self.wake.signal()
    }

    func flush(within time: Duration) -> Bool {
        let done = DispatchSemaphore(value: 0)
        self.state.withLock { state in
            state.pending.waiting.append(done)
            state.isAsleep = false
        }
        self.wake.signal()
        let milliseconds = time.components.seconds * 1000 + time.components.attoseconds / 1_000_000_000_000_000
        return done.wait(timeout: .now() + .milliseconds(Int(clamping: milliseconds))) == .success
    }

    /// Nobody will write any more: the writer finishes and ends.
    func close() {
        self.state.withLock { state in
            state.pending.isLast = true
            state.isAsleep = false
        }
        self.wake.signal()
    }

    /// What waits, oldest first; waits for something.
    ///
    /// For the writer's thread.
    ///
    /// - Parameter batch: The one before, whose memory serves again.
    func next(after batch: inout Batch) {
        batch.bytes.removeAll(keepingCapacity: true)
        if batch.bytes.capacity < self.capacity { batch.bytes.reserveCapacity(self.capacity) }
        (batch.lines, batch.dropped, batch.isLast) = (0, 0, false)
        batch.changes.removeAll()
        batch.waiting.removeAll()
        _ = self.wake.wait(timeout: .now() + Self.rest)
        while true {
            let isFound = self.state.withLock { state in
                state.isHurried = false
                state.isAsleep = state.pending.isEmpty
                if !state.isAsleep { swap(&state.pending, &batch) }
                return !state.isAsleep
            }
            if isFound { break }
            self.wake.wait()
        }
    }
}
