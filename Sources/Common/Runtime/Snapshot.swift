// SPDX-License-Identifier: Apache-2.0

package import NIOCore
import Synchronization

/// The newest value of something, published by the one component that owns it and read by every event loop without a
/// lock.
///
/// Not one shared atomic reference: reading a strong one takes a lock or a double-word atomic, while a loop-bound box is
/// a thread check and a load. All loops see the values in the same order; a loop may lag, it never goes back.
package final class Snapshot<Value: Sendable>: Sendable {
    /// One event loop's view.
    ///
    /// Take it once per connection, read `value` once per request, on that loop only.
    package struct Reader: Sendable {
        fileprivate let box: NIOLoopBoundBox<Value>

        /// The newest value that has reached this loop.
        ///
        /// Traps when read off the loop.
        package var value: Value { self.box.value }
    }

    private struct Values {
        var newest: Value
        // Kept for one more publish, so that a large old value is freed by the publisher and not on an event loop.
        var previous: Value?
        var generation = 0
        var publishedAt = ContinuousClock.now
    }

    private let readers: [ObjectIdentifier: NIOLoopBoundBox<Value>]
    private let observers: [ObjectIdentifier: NIOLoopBoundBox<((Value) -> Void)?>]
    private let values: Mutex<Values>

    /// A snapshot for the loops of `group`; callable off the loops.
    package init(_ value: Value, on group: any EventLoopGroup) {
        var readers: [ObjectIdentifier: NIOLoopBoundBox<Value>] = [:]
        var observers: [ObjectIdentifier: NIOLoopBoundBox<((Value) -> Void)?>] = [:]
        for loop in group.makeIterator() {
            readers[ObjectIdentifier(loop)] = .makeBoxSendingValue(value, eventLoop: loop)
            observers[ObjectIdentifier(loop)] = .makeEmptyBox(eventLoop: loop)
        }
        self.readers = readers
        self.observers = observers
        self.values = Mutex(Values(newest: value))
    }

    /// The reader of one loop, which must be of the group that the snapshot was made for.
    package func reader(for loop: any EventLoop) -> Reader {
        guard let box = self.readers[ObjectIdentifier(loop)] else {
            preconditionFailure("snapshot read on a loop that it was not made for")
        }
        return Reader(box: box)
    }

    /// Calls `body` on `loop`, where this has to be called, with each value that arrives there from now on.
    ///
    /// One observer for each loop: a second one takes the place of the first.
    package func observe(on loop: any EventLoop, _ body: @escaping (Value) -> Void) {
        self.observers[ObjectIdentifier(loop)]?.value = body
    }

    /// The newest value, for readers off the loops.
    package var current: Value { self.values.withLock { $0.newest } }

    /// How often a value was published; 0 means that `current` is still the initial one.
    package var generation: Int { self.values.withLock { $0.generation } }

    /// How long ago the newest value was published.
    package var age: Duration { self.values.withLock { .now - $0.publishedAt } }

    /// Makes `value` the newest one, here at once and on each loop at its next turn.
    ///
    /// The hand-over to the loops happens inside the lock, so that all agree on the order even when a component and its
    /// restarted successor publish at the same time.
    package func publish(_ value: Value) {
        let freed = self.values.withLock { values -> Value? in
            let freed = values.previous
            values.previous = values.newest
            values.newest = value
            values.generation += 1
            values.publishedAt = .now
            for (loop, box) in self.readers {
                let observer = self.observers[loop]
                box.eventLoop.execute {
                    box.value = value
                    observer?.value?(value)
                }
            }
            return freed
        }
        _ = freed  // released here, outside the lock
    }
}
