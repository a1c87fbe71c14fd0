// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
@testable import Proxy
import SimulationSupport

/// An HTTP/1.1 connection to an upstream, without a channel.
final class FakeConnection: FakeUpstream, SingleConnection, DeadlineOwner, EventTail {
    let group: ConnectionPool.Group
    var deadline = NIODeadline.distantFuture
    var slot: DeadlineTable.Slot?
    private(set) var served = 0
    let madeAt: NIODeadline
    private(set) var isIdle = false
    private(set) var isClosed = false
    /// Whether the pool has been told that it is closed.
    private(set) var isOver = false

    init(_ world: RingWorld, _ name: String, _ group: ConnectionPool.Group) {
        self.group = group
        self.madeAt = world.worker.now
        super.init(world, name)
        world.worker.deadlines.add(self)
        world.connections.append(self)
    }

    override var isReady: Bool { !self.isClosed }
    override var isUsed: Bool { self.served > 0 }
    override var endpoint: Endpoint { self.group.endpoint }
    override func opened() {
        if self.isIdle { self.world.violate("owner", "\(self.name) serves while it is idle") }
        self.served += 1
    }

    override func finished(keepsAlive: Bool, _ settings: ProxySettings) {
        guard keepsAlive else { return self.shut() }
        self.world.worker.pool.giveBack(self, idle: settings.upstreamIdle, most: settings.maxIdleUpstream)
    }

    override func cancelled(_ reason: Cancellation, _ trial: Trial) { self.shut() }

    override func die() { self.shut() }

    /// The channel is closed: whoever waits is told at the end of the event.
    private func shut() {
        guard !self.isClosed else { return }
        if self.isIdle { self.world.worker.pool.removeIdle(self) }
        self.isIdle = false
        self.isClosed = true
        self.deadline = .distantFuture
        self.world.worker.putOff(self)
    }

    func eventEnds() {
        guard !self.isOver else { return }
        self.isOver = true
        self.world.worker.deadlines.remove(self)
        self.world.worker.pool.closed(self)
        guard let ticket = self.ticket, let trial = self.trial else { return }
        if trial.isUntilClose, trial.hasHead, self.world.schedule.draw(2) == 0 {
            self.endByClosing(ticket)
        } else {
            self.tell(
                ticket, ProxyError(.upstreamReset),
                wasReused: self.served > 1 && !trial.hasHead && trial.interims == 0)
        }
    }

    // MARK: SingleConnection

    var isOpen: Bool { !self.isClosed }

    func waitIdle(_ amount: TimeAmount) {
        if self.isServing { self.world.violate("owner", "\(self.name) is idle while it serves") }
        self.isIdle = true
        self.deadline = self.world.worker.now + amount
        self.world.worker.deadlines.notice(amount)
    }

    func limitIdle(_ amount: TimeAmount) {
        if self.isIdle, self.world.worker.now + amount < self.deadline { self.waitIdle(amount) }
    }

    func leaveIdle() {
        self.isIdle = false
        self.deadline = .distantFuture
    }

    func close() { self.shut() }

    func deadlineReached() { self.world.worker.event { self.close() } }
}
