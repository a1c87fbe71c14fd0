// SPDX-License-Identifier: Apache-2.0
// request path

package import NIOCore

/// Something that waits for a point in time, without a timer of its own.
package protocol DeadlineOwner: AnyObject {
    /// When it wants to be called; `.distantFuture` for never.
    var deadline: NIODeadline { get set }

    /// Where it stands in the table; `nil` while it does not. The table's alone to write.
    var slot: DeadlineTable.Slot? { get set }

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
    /// The place of one owner, which may become another one whenever an owner leaves.
    package typealias Slot = Int

    /// How late a near deadline may be noticed.
    package static let precision = TimeAmount.milliseconds(20)
    /// Between two sweeps at most.
    private static let interval = TimeAmount.milliseconds(500)

    private let eventLoop: any EventLoop
    /// Without gaps, so that a sweep looks at nothing but owners, however many there once were.
    private var owners: ContiguousArray<any DeadlineOwner> = []
    private var nextSweep = NIODeadline.distantFuture
    private var scheduled: Scheduled<Void>?
    private var isStopped = false

    /// An empty table.
    package init(eventLoop: any EventLoop) { self.eventLoop = eventLoop }

    /// How many owners there are.
    package var count: Int { self.owners.count }

    /// For how many there is memory.
    var capacity: Int { self.owners.capacity }

    /// All owners, in no order.
    package var all: [any DeadlineOwner] { Array(self.owners) }

    /// Looks after `owner` until `remove`, and keeps it alive as long.
    package func add(_ owner: any DeadlineOwner) {
        assert(owner.slot == nil, "an owner is in the table once")
        if self.nextSweep == .distantFuture { self.schedule(for: self.eventLoop.now + Self.interval) }
        owner.slot = self.owners.count
        self.owners.append(owner)
    }

    /// Looks after `owner` no longer; nothing happens when it did not.
    package func remove(_ owner: any DeadlineOwner) {
        guard let slot = owner.slot else { return }
        owner.slot = nil
        let last = self.owners.removeLast()
        if slot < self.owners.count {
            self.owners[slot] = last
            last.slot = slot
        }
        if self.owners.capacity > Self.leastCapacity, self.owners.count < self.owners.capacity / 4 { self.shrink() }
    }

    /// Gives back what a burst has left.
    private func shrink() {
        var owners = ContiguousArray<any DeadlineOwner>()
        owners.reserveCapacity(max(self.owners.count * 2, Self.leastCapacity / 2))
        owners.append(contentsOf: self.owners)
        self.owners = owners
    }

    /// Memory for so many is not given back.
    private static let leastCapacity = 1_024

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
        // Not over the array itself: an owner that is called may remove itself or add others. From the end, so that whoever
        // takes a free place was looked at already.
        for slot in (0..<self.owners.count).reversed() where slot < self.owners.count {
            let owner = self.owners[slot]
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
