// SPDX-License-Identifier: Apache-2.0

import CSimulation
import DequeModule
package import Dispatch
package import NIOCore

/// An event loop on virtual time: it runs on the thread that calls it, one task at a time, in an order that is always the
/// same.
///
/// What is due first runs first; of two that are due at once, the one that was handed over first. While a loop is
/// current, every clock of the thread says what it says (`NIODeadline.now()` too).
package final class SimulatedLoop: EventLoop, @unchecked Sendable {
    private struct Timer {
        let deadline: NIODeadline
        let sequence: UInt64
        let run: () -> Void
        let abandon: () -> Void

        func isBefore(_ other: Timer) -> Bool {
            self.deadline == other.deadline ? self.sequence < other.sequence : self.deadline < other.deadline
        }
    }

    /// The virtual time.
    package private(set) var now: NIODeadline
    /// Tasks that run so far.
    package private(set) var ran = 0
    private var ready: Deque<(at: NIODeadline, sequence: UInt64, run: () -> Void)> = []
    /// A binary heap.
    private var timers: [Timer] = []
    private var sequence: UInt64 = 0
    private var isShutDown = false

    /// A loop at one second past zero, so that times before it can be told.
    package init() {
        self.now = .uptimeNanoseconds(1_000_000_000)
        self.makeCurrent()
    }

    // MARK: Steps

    /// Whether a task is due.
    package var hasDueTask: Bool { !self.ready.isEmpty || (self.timers.first.map { $0.deadline <= self.now } ?? false) }

    /// How many tasks wait, due or not.
    package var waiting: Int { self.ready.count + self.timers.count }

    /// When the next task becomes due that is not.
    package var nextDeadline: NIODeadline? { self.timers.first?.deadline }

    /// Runs the first task that is due.
    ///
    /// - Returns: Whether there was one.
    @discardableResult
    package func step() -> Bool {
        if let timer = self.timers.first, timer.deadline <= self.now {
            let isFirst = self.ready.first.map {
                timer.deadline == $0.at ? timer.sequence < $0.sequence : timer.deadline < $0.at
            }
            if isFirst ?? true {
                self.remove(at: 0)
                self.ran += 1
                timer.run()
                return true
            }
        }
        guard let task = self.ready.popFirst() else { return false }
        self.ran += 1
        task.run()
        return true
    }

    /// Lets time pass without running anything.
    package func advance(to time: NIODeadline) {
        guard time > self.now else { return }
        self.now = time
        self.makeCurrent()
    }

    /// Makes the clocks of the thread say what this loop says.
    package func makeCurrent() { simulation_set_time(Int64(self.now.uptimeNanoseconds)) }

    /// Gives the thread its real clocks back.
    package static func leave() { simulation_set_time(0) }

    /// Drops what has not run; futures that wait for it fail.
    package func shutDown() {
        self.isShutDown = true
        while !self.ready.isEmpty { self.step() }
        while let timer = self.timers.popLast() { timer.abandon() }
        Self.leave()
    }

    // MARK: EventLoop

    package var inEventLoop: Bool { true }

    package func execute(_ task: @escaping @Sendable () -> Void) { self.enqueue(task) }

    package func _executeIsolatedUnsafeUnchecked(_ task: @escaping () -> Void) { self.enqueue(task) }

    private func enqueue(_ task: @escaping () -> Void) {
        if self.isShutDown { return }
        self.sequence += 1
        self.ready.append((self.now, self.sequence, task))
    }

    package func submit<T>(_ task: @escaping @Sendable () throws -> T) -> EventLoopFuture<T> {
        self.schedule(at: self.now, task).futureResult
    }

    package func _submitIsolatedUnsafeUnchecked<T>(_ task: @escaping () throws -> T) -> EventLoopFuture<T> {
        self.schedule(at: self.now, task).futureResult
    }

    @discardableResult
    package func scheduleTask<T>(
        deadline: NIODeadline, _ task: @escaping @Sendable () throws -> T
    ) -> Scheduled<T> { self.schedule(at: deadline, task) }

    @discardableResult
    package func scheduleTask<T>(
        in delay: TimeAmount, _ task: @escaping @Sendable () throws -> T
    ) -> Scheduled<T> { self.schedule(at: self.now + delay, task) }

    @discardableResult
    package func _scheduleTaskIsolatedUnsafeUnchecked<T>(
        deadline: NIODeadline, _ task: @escaping () throws -> T
    ) -> Scheduled<T> { self.schedule(at: deadline, task) }

    @discardableResult
    package func _scheduleTaskIsolatedUnsafeUnchecked<T>(
        in delay: TimeAmount, _ task: @escaping () throws -> T
    ) -> Scheduled<T> { self.schedule(at: self.now + delay, task) }

    private func schedule<T>(at deadline: NIODeadline, _ task: @escaping () throws -> T) -> Scheduled<T> {
        let promise = self.makePromise(of: T.self)
        self.sequence += 1
        let sequence = self.sequence
        let scheduled = Scheduled(promise: promise) { [weak self] in self?.cancel(sequence) }
        guard !self.isShutDown else {
            promise.fail(EventLoopError.cancelled)
            return scheduled
        }
        let isolated = promise.assumeIsolated()
        let timer = Timer(
            deadline: deadline, sequence: sequence,
            run: {
                do { isolated.succeed(try task()) } catch { promise.fail(error) }
            },
            abandon: { promise.fail(EventLoopError.cancelled) })
        self.timers.append(timer)
        self.siftUp(self.timers.count - 1)
        return scheduled
    }

    package func shutdownGracefully(queue: DispatchQueue, _ callback: @escaping @Sendable ((any Error)?) -> Void) {
        self.shutDown()
        callback(nil)
    }

    package func _preconditionSafeToWait(file: StaticString, line: UInt) {
        preconditionFailure("a simulated loop cannot be waited for", file: file, line: line)
    }

    // MARK: Heap

    private func cancel(_ sequence: UInt64) {
        guard let index = self.timers.firstIndex(where: { $0.sequence == sequence }) else { return }
        self.remove(at: index)
    }

    private func remove(at index: Int) {
        let last = self.timers.count - 1
        self.timers.swapAt(index, last)
        self.timers.removeLast()
        guard index < self.timers.count else { return }
        self.siftDown(index)
        self.siftUp(index)
    }

    private func siftUp(_ start: Int) {
        var index = start
        while index > 0, case let parent = (index - 1) / 2, self.timers[index].isBefore(self.timers[parent]) {
            self.timers.swapAt(index, parent)
            index = parent
        }
    }

    private func siftDown(_ start: Int) {
        var index = start
        while true {
            var first = index
            for child in [2 * index + 1, 2 * index + 2]
            where child < self.timers.count && self.timers[child].isBefore(self.timers[first]) {
                first = child
            }
            guard first != index else { return }
            self.timers.swapAt(index, first)
            index = first
        }
    }
}
