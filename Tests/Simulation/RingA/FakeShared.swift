// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
@testable import Proxy
import SimulationSupport

/// An HTTP/2 connection to an upstream, without a channel.
final class FakeShared: SharedConnection, DeadlineOwner, EventTail {
    unowned let world: RingWorld
    let name: String
    let group: ConnectionPool.Group
    var deadline = NIODeadline.distantFuture
    var slot: DeadlineTable.Slot?
    private(set) var hasSettings = false
    private var isPatienceOver = false
    private(set) var isRetired = false
    private(set) var isGivenUp = false
    private(set) var isClosed = false
    /// In the order in which they were opened.
    private(set) var streams: [FakeStream] = []
    private(set) var served = 0
    private let madeAt: NIODeadline
    private let mostStreams: Int
    private let http2Streams: Int

    init(_ world: RingWorld, _ name: String, _ group: ConnectionPool.Group, _ settings: ProxySettings) {
        self.world = world
        self.name = name
        self.group = group
        self.madeAt = world.worker.now
        self.mostStreams = world.schedule.pick([100, 1, 2])
        self.http2Streams = settings.http2Streams
        world.worker.deadlines.add(self)
        world.shared.append(self)
    }

    /// It is dead before anybody has used it.
    static func dead(_ world: RingWorld, _ name: String, _ group: ConnectionPool.Group, _ settings: ProxySettings)
        -> FakeShared
    {
        let connection = FakeShared(world, name, group, settings)
        connection.isClosed = true
        connection.isRetired = true
        world.worker.putOff(connection)
        return connection
    }

    private var knowsLimits: Bool { self.hasSettings || self.isPatienceOver || self.group.hasBeenSilent }
    var isOpen: Bool { !self.isClosed }
    var isAvailable: Bool {
        !self.isRetired && !self.isClosed && self.idleTime != nil
            && self.streams.count < (self.knowsLimits ? min(self.mostStreams, self.http2Streams) : 1)
    }
    var isPending: Bool { !self.knowsLimits && !self.isRetired && !self.isClosed && self.idleTime != nil }
    var isUnused: Bool { self.streams.isEmpty }

    /// How long it may wait for the next request; `nil` when its cluster wants another one for that.
    private var idleTime: TimeAmount? {
        self.group.idleTime(.seconds(15), since: self.madeAt, served: self.served)
    }

    private func waitIdle() {
        if let time = self.idleTime { self.setDeadline(time) } else { self.retire() }
    }

    func start() { self.setDeadline(.seconds(1)) }

    func makeStream() -> any Upstream { FakeStream(self) }

    func retire() {
        guard !self.isRetired else { return }
        self.isRetired = true
        self.isGivenUp = true
        self.world.worker.pool.retired(self)
        if self.streams.isEmpty { self.shut() }
    }

    func limitIdle(_ amount: TimeAmount) {
        if self.isUnused, self.world.worker.now + amount < self.deadline { self.setDeadline(amount) }
    }

    private func setDeadline(_ amount: TimeAmount) {
        self.deadline = self.world.worker.now + amount
        self.world.worker.deadlines.notice(amount)
    }

    func deadlineReached() {
        self.world.worker.event {
            if self.isPending {
                self.isPatienceOver = true
                if self.streams.isEmpty { self.waitIdle() }
                self.world.worker.pool.settingsReceived(self)
            } else if self.streams.isEmpty {
                self.shut()
            }
        }
    }

    fileprivate func open(_ stream: FakeStream) {
        self.served += 1
        self.streams.append(stream)
        if !self.isPending { self.deadline = .distantFuture }
    }

    fileprivate func remove(_ stream: FakeStream) {
        self.streams.removeAll { $0 === stream }
        guard self.streams.isEmpty, !self.isClosed else { return }
        if self.isRetired {
            self.shut()
        } else if !self.isPending {
            self.waitIdle()
        } else if self.deadline == .distantFuture {
            // The settings of another connection have it waited for again.
            self.setDeadline(.seconds(1))
        }
    }

    /// The connection ends; its streams learn it at the end of the event.
    func shut() {
        guard !self.isClosed else { return }
        self.isClosed = true
        self.isRetired = true
        self.deadline = .distantFuture
        self.world.worker.pool.closed(self)
        self.leave()
        self.world.worker.putOff(self)
    }

    private func leave() {
        self.world.worker.deadlines.remove(self)
        self.world.shared.removeAll { $0 === self }
    }

    func eventEnds() {
        if self.slot != nil {
            self.world.worker.pool.closed(self)
            self.leave()
        }
        while let stream = self.streams.first {
            self.streams.removeFirst()
            stream.connectionLost()
        }
    }

    // MARK: What the upstream does

    /// Does something that concerns the connection.
    func act() {
        switch self.world.schedule.draw(4) {
        case 0, 1: self.sendSettings()
        case 2:
            let taken = self.world.schedule.draw(self.streams.count + 1)
            self.world.event("\(self.name): GOAWAY, \(taken) of \(self.streams.count) taken", .upstreams) {
                self.isRetired = true
                self.world.worker.pool.retired(self)
                let refused = self.streams[taken...]
                for stream in refused {
                    self.streams.removeAll { $0 === stream }
                    stream.refusedByGoAway()
                }
                if self.streams.isEmpty { self.shut() }
            }
        default: self.world.event("\(self.name) dies", .upstreams) { self.shut() }
        }
    }

    func sendSettings() {
        guard !self.hasSettings, !self.isClosed else { return }
        self.world.event("\(self.name): SETTINGS, \(self.mostStreams) streams", .upstreams) {
            self.hasSettings = true
            if self.streams.isEmpty, !self.isRetired { self.waitIdle() }
            self.world.worker.pool.settingsReceived(self)
        }
    }
}

/// One request on a fake HTTP/2 connection.
final class FakeStream: FakeUpstream {
    private let connection: FakeShared
    private var isOpened = false

    init(_ connection: FakeShared) {
        self.connection = connection
        super.init(connection.world, "\(connection.name) stream \(connection.served + 1)")
    }

    override var mayRefuse: Bool { true }
    override var isReady: Bool { self.connection.isAvailable && !self.isOpened }
    override var isUsed: Bool { self.connection.served > 0 }
    override var endpoint: Endpoint { self.connection.group.endpoint }

    override func opened() {
        self.isOpened = true
        self.connection.open(self)
    }

    override func finished(keepsAlive: Bool, _ settings: ProxySettings) { self.connection.remove(self) }

    override func cancelled(_ reason: Cancellation, _ trial: Trial) {
        if reason == .late, !self.connection.hasSettings { self.connection.retire() }
        self.connection.remove(self)
    }

    override func die() { self.reset(2) }

    override func refuse(_ ticket: Ticket, _ trial: Trial) {
        self.world.event("\(self.name): REFUSED_STREAM", .upstream(trial)) { self.reset(7) }
    }

    private func reset(_ code: UInt32) {
        guard let ticket = self.ticket, let trial = self.trial else { return }
        self.connection.remove(self)
        ticket.driver.exchange.attempt.resetCode = code
        let isRefused = code == 7 && !trial.hasHead && trial.interims == 0
        self.tell(
            ticket, ProxyError(.upstreamReset, "upstream reset the request"), wasReused: isRefused,
            wasSent: !isRefused)
    }

    fileprivate func refusedByGoAway() {
        guard let ticket = self.ticket, let trial = self.trial else { return }
        self.tell(
            ticket, ProxyError(.upstreamReset), wasReused: true, wasSent: trial.hasHead || trial.interims > 0)
    }

    fileprivate func connectionLost() {
        guard let ticket = self.ticket, let trial = self.trial else { return }
        let isUnseen = !self.connection.hasSettings
        self.tell(
            ticket, ProxyError(.upstreamReset),
            wasReused: isUnseen || self.connection.served > 1 && !trial.hasHead && trial.interims == 0,
            wasSent: !isUnseen)
    }
}
