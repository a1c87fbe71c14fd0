// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import NIOCore

/// What one event loop has of the connections of a cluster that limits them, and who waits there for one.
///
/// A connection that becomes free goes to whoever has waited longest for its endpoint; one that nobody wants there is
/// closed when somebody waits for another endpoint, or on another loop. A place goes first to an endpoint without any
/// connection, and to a loop without any, so that neither is passed over for ever.
final class ClusterShare: EventTail {
    let tickets: ClusterTickets
    /// Those that have connections, or somebody who waits.
    var groups: [ConnectionPool.Group] = []
    /// Those of them where somebody may wait.
    private var hungry: [ConnectionPool.Group] = []
    /// Connections of this loop: idle, busy and connecting.
    private var count = 0
    /// How many of these are being closed for somebody who waits.
    private var closing = 0
    private var most = Int.max
    private var mostPending: Int?
    private var mayShareOne = false
    private var name = ""
    /// Numbers those that wait.
    private var number: UInt64 = 0
    private var isPutOff = false
    /// What the other loops were told.
    private var told = ConnectionPlaces.Need.none
    private var id = 0
    private let pool: ConnectionPool
    private let worker: Worker

    init(_ tickets: ClusterTickets, _ pool: ConnectionPool, _ worker: Worker) {
        self.tickets = tickets
        self.pool = pool
        self.worker = worker
        let loop = worker.eventLoop
        let bound = NIOLoopBound(self, eventLoop: loop)
        self.id = tickets.places.join { loop.execute { bound.value.woken() } }
    }

    /// Takes note of the limits as they are now, and of those that have left.
    func heed(_ scope: ConnectionScope, _ group: ConnectionPool.Group) {
        while let first = group.waiting.first, !first.ticket.isValid { group.waiting.removeFirst() }
        self.most = scope.most
        self.mostPending = scope.mostPending
        self.mayShareOne = scope.mayShareOne
        self.name = scope.name
    }

    /// Has no connections to this endpoint any more, and nobody waits for one.
    ///
    /// - Returns: Whether nothing is left.
    func forget(_ group: ConnectionPool.Group) -> Bool {
        self.groups.removeAll { $0 === group }
        self.hungry.removeAll { $0 === group }
        guard self.groups.isEmpty else { return false }
        self.tickets.places.leave(self.id)
        return true
    }

    // MARK: Requests

    /// A connection of its own for a request, now or when it is its turn.
    func open(_ group: ConnectionPool.Group, for ticket: Ticket, isFresh: Bool) -> ConnectionPool.Opening {
        if !self.hasWaiters, self.take(most: self.most) {
            self.pool.connect(group, for: ticket, isTunnel: false)
            return .pending
        }
        return self.queue(ticket, group, isStream: false, isFresh: isFresh)
    }

    /// A stream for a request, now or when it is its turn.
    func openStream(_ group: ConnectionPool.Group, for ticket: Ticket) -> ConnectionPool.Opening {
        let isFirst = self.mayShareOne && group.count == 0
        let isGrowing = group.isGrowing(for: group.waiting.count + 1)
        if !isGrowing, isFirst ? self.take(most: .max) : !self.hasWaiters && self.take(most: self.most) {
            self.wait(self.waiter(ticket, isStream: true, isFresh: false), group)
            self.pool.connectShared(group, ConnectionPool.settings(of: ticket.driver))
            return .pending
        }
        return self.queue(ticket, group, isStream: true, isFresh: false)
    }

    private func waiter(_ ticket: Ticket, isStream: Bool, isFresh: Bool) -> ConnectionPool.Waiter {
        self.number += 1
        return ConnectionPool.Waiter(ticket: ticket, isStream: isStream, isFresh: isFresh, number: self.number)
    }

    private func queue(
        _ ticket: Ticket, _ group: ConnectionPool.Group, isStream: Bool, isFresh: Bool
    ) -> ConnectionPool.Opening {
        guard self.tickets.takePending(most: self.mostPending) else {
            self.pool.forgetIfUnused(group)
            return .refused(
                ProxyError(
                    .bulkheadFull, "as many connections as cluster \(self.name) allows are in use, and no more may wait"
                ))
        }
        ticket.driver.exchange.attempt.pending = self.tickets
        ticket.driver.exchange.attempt.hasQueued = true
        self.wait(self.waiter(ticket, isStream: isStream, isFresh: isFresh), group)
        return .pending
    }

    /// Whoever waits goes on waiting, for a connection of this group.
    func wait(_ waiter: ConnectionPool.Waiter, _ group: ConnectionPool.Group) {
        // Those that have left are still there until it would be their turn.
        if group.waiting.count & 63 == 63 { group.waiting.removeAll { !$0.ticket.isValid } }
        group.waiting.append(waiter)
        if !self.hungry.contains(where: { $0 === group }) { self.hungry.append(group) }
        self.serveLater()
    }

    private var hasWaiters: Bool {
        self.hungry.contains { group in group.waiting.contains { $0.ticket.isValid } }
    }

    private func take(most: Int) -> Bool {
        guard self.tickets.places.take(most: most) else { return false }
        self.count += 1
        return true
    }

    // MARK: Connections

    /// A connection has left one of the groups.
    func connectionLeft() {
        self.count -= 1
        self.closing = max(0, self.closing - 1)
        self.tickets.places.giveBack(self.id)
        if !self.hungry.isEmpty { self.serveLater() }
    }

    /// Whether a connection that has become free had better be closed: for another loop, or for another endpoint.
    func wantsPlace(of group: ConnectionPool.Group) -> Bool {
        let places = self.tickets.places
        if self.hungry.isEmpty, !places.isWanted { return false }
        let starving = places.starvingLoops - (self.told == .starving ? 1 : 0)
        if starving > self.closing { return true }
        let others = self.hungry.filter { $0 !== group && $0.waiting.contains { $0.ticket.isValid } }
        if others.count(where: { $0.count == 0 }) > self.closing { return true }
        if group.waiting.contains(where: { $0.ticket.isValid }) { return false }
        let waiting = places.waitingLoops - (self.told == .none ? 0 : 1)
        return others.count + waiting > self.closing
    }

    /// Closes a connection for somebody who waits.
    func giveUp(_ close: () -> Void) {
        self.closing += 1
        close()
    }

    /// Another loop has given up a place, or wants one.
    private func woken() {
        self.worker.event {
            self.serve()
            self.makeRoom()
        }
    }

    // MARK: Turns

    /// Serves those that wait, when the event is over.
    func serveLater() {
        if self.isPutOff { return }
        self.isPutOff = true
        self.worker.putOff(self)
    }

    func eventEnds() {
        self.isPutOff = false
        self.serve()
    }

    private func serve() {
        self.serveWithWhatIsThere()
        var granted = self.tickets.places.takeGranted(self.id)
        self.count += granted
        var need = ConnectionPlaces.Need.none
        repeat {
            var isServed = false
            while let group = self.next {
                if granted > 0 { granted -= 1 } else if !self.take(most: self.most) { break }
                self.dial(group)
                isServed = true
            }
            need = self.next == nil ? .none : self.count == 0 ? .starving : .waiting
            // Others may have more that they do not use.
            if isServed, need != .none { self.told = .none }
            // What was given back before the others knew is looked for once more.
        } while self.tell(need) && need != .none
        for _ in 0..<granted {
            self.count -= 1
            self.tickets.places.giveBack(self.id)
        }
        if need != .none { self.closeIdle(self.wanted - self.closing) }
    }

    private func tell(_ need: ConnectionPlaces.Need) -> Bool {
        guard need != self.told else { return false }
        self.told = need
        self.tickets.places.tell(self.id, need)
        return true
    }

    /// Connections that are idle, and streams that are free.
    private func serveWithWhatIsThere() {
        var index = 0
        while index < self.hungry.count {
            let group = self.hungry[index]
            self.pool.serveWaiting(group)
            if group.waiting.isEmpty {
                self.hungry.removeAll { $0 === group }
                self.pool.forgetIfUnused(group)
            } else {
                index += 1
            }
        }
    }

    /// Where the next connection is to lead: to an endpoint that has none, else where somebody has waited longest.
    private var next: ConnectionPool.Group? {
        var next: (group: ConnectionPool.Group, isFirst: Bool, number: UInt64)?
        for group in self.hungry {
            guard let waiter = group.waiting.first(where: { $0.ticket.isValid }),
                !(waiter.isStream && group.isGrowing(for: group.waiting.count))
            else { continue }
            let isFirst = group.count == 0
            if let found = next, (found.isFirst ? 0 : 1, found.number) < (isFirst ? 0 : 1, waiter.number) { continue }
            next = (group, isFirst, waiter.number)
        }
        return next?.group
    }

    /// How many connections those that wait could use.
    private var wanted: Int {
        self.hungry.reduce(0) { sum, group in
            guard let waiter = group.waiting.first(where: { $0.ticket.isValid }) else { return sum }
            let isCalm = waiter.isStream && group.isGrowing(for: group.waiting.count)
            return sum + (isCalm ? 0 : waiter.isStream ? 1 : group.waiting.count { $0.ticket.isValid })
        }
    }

    /// Opens a connection for the first that waits there; there is a place for it.
    private func dial(_ group: ConnectionPool.Group) {
        group.waiting.removeAll { !$0.ticket.isValid }
        guard let waiter = group.waiting.first else { return assertionFailure("somebody waits there") }
        if waiter.isStream {
            self.pool.connectShared(group, ConnectionPool.settings(of: waiter.ticket.driver))
        } else {
            group.waiting.removeFirst()
            waiter.ticket.driver.exchange.attempt.pending.take()?.giveBackPending()
            self.pool.connect(group, for: waiter.ticket, isTunnel: false)
        }
    }

    /// Makes room for other loops, as far as this one can do without.
    private func makeRoom() {
        let places = self.tickets.places
        if self.hungry.isEmpty, places.isWanted { self.closeIdle(max(1, self.tickets.pendingCount) - self.closing) }
        guard places.starvingLoops - (self.told == .starving ? 1 : 0) > self.closing, self.count > 0 else { return }
        self.closeIdle(1)
        // A connection that is shared may never be idle.
        guard self.closing == 0, let connection = self.groups.lazy.compactMap({ $0.shared.first }).first else { return }
        self.giveUp { connection.retire() }
    }

    /// Closes connections that nobody uses, the oldest of each endpoint first.
    private func closeIdle(_ count: Int) {
        var count = count
        for group in self.groups where count > 0 {
            while count > 0, let connection = group.idle.first {
                count -= 1
                self.giveUp { connection.close() }
            }
            for connection in group.shared where count > 0 && connection.isUnused && group.waiting.isEmpty {
                count -= 1
                self.giveUp { connection.retire() }
            }
        }
    }
}
