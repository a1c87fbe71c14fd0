// SPDX-License-Identifier: Apache-2.0
// request path

package import NIOCore

/// Something that waits for a point in time, without a timer of its own.
package protocol DeadlineOwner: AnyObject {
    /// When it wants to be called; `.distantFuture` for never.
    var deadline: NIODeadline { get set }

    /// The deadline has passed.
    ///
    /// It is `.distantFuture` by now.
    func deadlineReached()
}

/// Looks after the deadlines of all connections of one event loop.
///
/// The deadline is a field of its owner, and setting it is a store; one sweep looks at all owners now and then.
/// Scheduling and cancelling a task for each request costs a fifth of the whole request. A deadline is met up to half a
/// second late, or up to ``precision`` when the table is told that it is near; it is never met early.
package final class DeadlineTable {
    /// The place of one owner.
    package typealias Slot = Int

    /// How late a near deadline may be noticed.
    package static let precision = TimeAmount.milliseconds(20)
    /// Between two sweeps at most.
    private static let interval = TimeAmount.milliseconds(500)

    private let eventLoop: any EventLoop
    private var owners: ContiguousArray<(any DeadlineOwner)?> = []
    private var vacant: ContiguousArray<Slot> = []
    private var nextSweep = NIODeadline.distantFuture
    private var scheduled: Scheduled<Void>?
    private var isStopped = false

    /// An empty table.
    package init(eventLoop: any EventLoop) { self.eventLoop = eventLoop }

    /// How many owners there are.
    package var count: Int { self.owners.count - self.vacant.count }

    /// All owners, in no order.
    package var all: [any DeadlineOwner] { self.owners.compactMap { $0 } }

    /// Looks after `owner` until `remove`, and keeps it alive as long.
    package func add(_ owner: any DeadlineOwner) -> Slot {
        if self.nextSweep == .distantFuture { self.schedule(for: self.eventLoop.now + Self.interval) }
        if let slot = self.vacant.popLast() {
            self.owners[slot] = owner
            return slot
        }
        self.owners.append(owner)
        return self.owners.count - 1
    }

    /// Takes the slot back.
    package func remove(_ slot: Slot) {
        self.owners[slot] = nil
        self.vacant.append(slot)
    }

    /// A deadline was set to `amount` from now.
    ///
    /// To be told of those that are shorter than the interval of the sweeps.
    @inline(__always)
    func notice(_ amount: TimeAmount) {
        if amount < Self.interval { self.schedule(for: self.eventLoop.now + amount) }
    }

    /// No sweep any more; called when the loop is about to end.
    package func stop() {
        self.isStopped = true
        self.scheduled?.cancel()
        self.scheduled = nil
    }

    /// Calls every owner whose deadline is not later than `now`.
    ///
    /// - Returns: The earliest deadline left.
    package func sweep(at now: NIODeadline) -> NIODeadline {
        var earliest = NIODeadline.distantFuture
        // Not over the array itself: an owner that is called may remove itself or add others.
        for slot in 0..<self.owners.count {
            guard let owner = self.owners[slot] else { continue }
            if owner.deadline <= now {
                owner.deadline = .distantFuture
                owner.deadlineReached()
            }
            earliest = min(earliest, owner.deadline)
        }
        return earliest
    }

    private func schedule(for wanted: NIODeadline) {
        guard !self.isStopped, wanted < self.nextSweep else { return }
        self.scheduled?.cancel()
        self.nextSweep = wanted
        // Not weak: see Worker.startReporting.
        self.scheduled = self.eventLoop.assumeIsolated().scheduleTask(deadline: wanted) {
            self.nextSweep = .distantFuture
            let now = self.eventLoop.now
            let earliest = self.sweep(at: now)
            // Without connections nothing can expire: the loop may sleep.
            guard self.count > 0 else { return }
            self.schedule(for: min(max(earliest, now + Self.precision), now + Self.interval))
        }
    }
}
