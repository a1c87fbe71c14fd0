// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
@testable import Proxy
import SimulationSupport

/// What holds after every event, and at the end.
extension RingWorld {
    /// How late a deadline may be noticed.
    private static var late: TimeAmount { .milliseconds(600) }

    func check() throws {
        try self.throwViolation()
        if self.worker.isInEvent { throw Violation("events", "the event does not end") }
        // One that closes may have another one dialled.
        for connection in self.connections { connection.closeIfTunnelIsOver() }
        self.connections.removeAll { $0.isOver }
        var idle = 0
        for connection in self.connections {
            if connection.isIdle { idle += 1 }
            try self.checkUpstream(connection)
        }
        for connection in self.shared { for stream in connection.streams { try self.checkUpstream(stream) } }
        if idle != self.worker.pool.idleCount {
            throw Violation("pool", "\(idle) connections are idle, and the pool says \(self.worker.pool.idleCount)")
        }
        let open = self.connections.count + self.shared.count + self.connector.pending.count
        if open != self.worker.pool.count {
            throw Violation("pool", "\(open) connections are there, and the pool says \(self.worker.pool.count)")
        }
        for tickets in self.tickets.values { try self.checkPlaces(tickets) }
        for call in self.live { try self.check(call) }
        try self.throwViolation()
    }

    /// What a cluster counts is what is there, and nobody waits beside a place or a connection that is free.
    private func checkPlaces(_ tickets: ClusterTickets) throws {
        func isLimited(_ group: ConnectionPool.Group) -> Bool { group.share?.tickets === tickets }
        let single = self.connections.filter { isLimited($0.group) }
        let open =
            single.count + self.shared.count { isLimited($0.group) }
            + self.connector.pending.count { isLimited($0.group) }
        if open != tickets.places.count {
            throw Violation("places", "\(open) connections are there, and \(tickets.places.count) are counted")
        }
        let waiting = self.allDrivers.count { $0.exchange.attempt.pending === tickets }
        if waiting != tickets.pendingCount {
            throw Violation("places", "\(waiting) wait for a connection, and \(tickets.pendingCount) are counted")
        }
        // Those that wait for a stream of a connection that is made, or that has not said how many it takes, have theirs.
        let isGrowing =
            self.connector.pending.contains { isLimited($0.group) }
            || self.shared.contains { isLimited($0.group) && $0.isPending }
        if waiting > 0, !isGrowing, open == 0 || single.contains(where: \.isIdle) {
            throw Violation("places", "\(waiting) wait for a connection, though there is room")
        }
    }

    /// Those of clients, and of copies.
    private var allDrivers: [ExchangeDriver] { self.worker.deadlines.all.compactMap { $0 as? ExchangeDriver } }

    private func checkUpstream(_ upstream: FakeUpstream) throws {
        guard let ticket = upstream.ticket, let trial = upstream.trial else { return }
        if !ticket.isValid, !trial.isTunnel {
            throw Violation("over", "\(upstream.name) serves call \(trial.call.number), which does not wait for it")
        }
        if !ticket.isValid, trial.isTunnel, !(trial.isInputEnded && trial.isOutputEnded) {
            throw Violation("over", "\(upstream.name) is the end of a tunnel that is over")
        }
    }

    private func check(_ call: Call) throws {
        let driver = call.driver
        let name = "call \(call.number)"
        if driver.phase == .idle { throw Violation("ends", "\(name) is over, and its client has not heard of it") }
        if let trial = call.open { try self.check(call, trial) }
        try self.checkTime(call)
    }

    /// What is in of a try is out, and whoever must not send does not.
    private func check(_ call: Call, _ trial: Trial) throws {
        let name = "call \(call.number)"
        if trial.isTunnel {
            guard call.answer == .tunnel else { return }
            if trial.tunnelReceived != call.tunnelSent {
                throw Violation(
                    "tunnel", "\(name): \(call.tunnelSent) bytes went into the tunnel, \(trial.tunnelReceived) came out"
                )
            }
            if call.tunnelReceived != trial.tunnelSent {
                throw Violation("tunnel", "\(name): bytes of the upstream are lost")
            }
            if call.isInputEnded, !trial.isInputEnded {
                throw Violation("tunnel", "\(name): the upstream has not heard that the client sends no more")
            }
            if trial.isOutputEnded, !call.isOutputEnded {
                throw Violation("tunnel", "\(name): the client has not heard that the upstream sends no more")
            }
        } else {
            if trial.received != call.sent || trial.isRequestComplete != call.isComplete {
                throw Violation(
                    "request", "\(name): \(call.sent) bytes are in, \(trial.received) are out, \(call.isComplete)")
            }
            if trial.hasHead, call.answer == .begun, call.received != trial.sent {
                throw Violation("answer", "\(name): \(trial.sent) bytes are in, \(call.received) are out")
            }
        }
        if trial.hasHead, trial.isReading == call.isFull {
            throw Violation(
                "pressure",
                "\(name): the client takes \(call.isFull ? "nothing" : "more"), and its upstream does not know")
        }
        let isSending = trial.isTunnel ? !call.isInputEnded : !call.isComplete
        if isSending, let client = self.clients.first(where: { $0.call === call }), client.maySend == trial.isFull {
            throw Violation(
                "pressure",
                "\(name): the upstream takes \(trial.isFull ? "nothing" : "more"), and its client does not know")
        }
    }

    /// Nothing is without a limit, and none is over.
    private func checkTime(_ call: Call) throws {
        let driver = call.driver
        let now = self.loop.now
        let name = "call \(call.number)"
        let isStream = call.isGRPC && driver.phase == .waiting && !call.isComplete && !(call.open?.isFull ?? false)
        if driver.deadline == .distantFuture, !isStream, driver.phase != .inChain {
            throw Violation("limits", "\(name) is \(driver.phase), without a limit")
        }
        if driver.deadline + Self.late < now {
            throw Violation("limits", "\(name): its deadline is over, nobody looks")
        }
        let settings = call.plan.settings
        if let timeout = call.timeout, now - call.begunAt > timeout + Self.late {
            throw Violation(
                "limits", "\(name) goes on \((now - call.begunAt).nanoseconds / 1_000_000) ms, its time is over")
        }
        if let trial = call.open, !trial.hasHead, let since = trial.waitsSince, !trial.isTunnel {
            if now - since > call.limit + Self.late {
                throw Violation("limits", "\(name) waits for its head for too long")
            }
            return
        }
        if isStream { return }
        let silence = now - call.movedAt
        let most: TimeAmount
        switch driver.phase {
        case .tunnel: most = settings.tunnel
        case .connecting: most = call.limit
        case .held, .responding: most = settings.stream
        case .waiting: most = call.open?.isFull == true ? settings.stream : settings.requestBody
        case .idle, .inChain: return
        }
        // Waits for a retry, and connects, begin when the one before has ended.
        if silence > most + Self.late + (driver.phase == .connecting || driver.phase == .held ? .seconds(8) : .zero) {
            throw Violation(
                "limits", "\(name): nothing happens for \(silence.nanoseconds / 1_000_000_000) s, \(driver.phase)")
        }
    }

    /// Everybody has left, and enough time has passed: nothing is left, and everything was counted.
    func checkEnd() throws {
        try self.check()
        if let call = self.live.first { throw Violation("hang", "call \(call.number) does not end") }
        if self.worker.pool.waitingCount != 0 { throw Violation("leak", "somebody waits for a stream") }
        if self.worker.pool.count != 0 { throw Violation("leak", "\(self.worker.pool.count) connections are left") }
        for tickets in self.tickets.values where tickets.isInUse {
            throw Violation("leak", "a cluster counts what is under way, and nothing is")
        }
        if self.worker.waits.count != 0 { throw Violation("leak", "somebody waits for the registry") }
        self.collectDrivers()
        if self.worker.mirrors.count != 0 || self.worker.mirrors.held != 0 {
            throw Violation("leak", "\(self.worker.mirrors.count) copies are counted, and none is there")
        }
        for driver in self.drivers.values
        where !driver.isIdle || driver.heldBytes != 0 || driver.deadline != .distantFuture {
            throw Violation("leak", "a driver is left")
        }
        if self.worker.deadlines.count != self.drivers.count {
            throw Violation("leak", "\(self.worker.deadlines.count) deadlines of \(self.drivers.count) drivers")
        }
        for balancer in self.balancers.values {
            for load in balancer.loads where load.outstanding != 0 {
                throw Violation("leak", "\(load.endpoint) has \(load.outstanding) requests, and there are none")
            }
        }
        try self.checkCircuits()
        try self.checkCounters()
    }

    private func checkCircuits() throws {
        var circuits: [Circuit] = self.providers.map(\.circuit)
        for policy in self.allPolicies() {
            circuits.append(policy.circuit)
            circuits += policy.circuits.all.values
        }
        for circuit in circuits where circuit.inFlight != 0 {
            throw Violation("leak", "a circuit has \(circuit.inFlight) requests, and there are none")
        }
        for call in self.calls where call.entered != call.finished {
            throw Violation(
                "chain", "call \(call.number): \(call.entered) tries were let through, \(call.finished) finished")
        }
    }

    private func checkCounters() throws {
        let metrics = self.worker.metrics
        func compare(_ what: String, _ counted: Int, _ known: Int) throws {
            if counted != known { throw Violation("counters", "\(counted) \(what) were counted, \(known) were there") }
        }
        try compare("connects", metrics.upstreamConnects.current, self.connector.count)
        let totals = self.registry.requestTotals.map(\.totals)
        let answered = self.calls.count { $0.hasStatus }
        try compare("answers", totals.reduce(0) { $0 + $1.requests }, answered)
        let failed = self.calls.count { $0.error != nil }
        let refused = self.calls.count { $0.isRefused && $0.error == nil }
        try compare("errors", totals.reduce(0) { $0 + $1.reasons.values.reduce(0, +) }, failed + refused)
        let attempts = self.endpoints.reduce(0) { $0 + $1.traffic.all.reduce(0) { $0 + $1.attempts.current } }
        try compare(
            "attempts", attempts,
            self.mirrorTries + self.calls.reduce(0) { $0 + ($1.plan.marks != nil ? $1.entered : 0) })
        for endpoint in self.endpoints {
            for shard in endpoint.traffic.all where shard.connections.current != 0 || shard.idle.current != 0 {
                throw Violation("counters", "\(endpoint): \(shard.connections.current) connections are counted")
            }
        }
        let again = self.calls.reduce(0) { $0 + max(0, $1.trials.count - 1) }
        if metrics.retries.current < again {
            throw Violation("counters", "\(again) retries, \(metrics.retries.current) counted")
        }
    }

    /// Copies take drivers of their own.
    private func collectDrivers() {
        for driver in self.allDrivers { self.drivers[ObjectIdentifier(driver)] = driver }
    }

    /// Takes everything down, so that nothing is kept in memory.
    func end() {
        self.collectDrivers()
        self.worker.deadlines.stop()
        for _ in 0..<self.drivers.count {
            let driver = self.worker.takeDriver()
            self.worker.deadlines.remove(driver)
        }
        self.loop.shutDown()
        self.drivers = [:]
        for call in self.calls { call.trials = [] }
        self.calls = []
        self.live = []
        self.trials = []
        self.clients = []
        self.forget()
    }
}
