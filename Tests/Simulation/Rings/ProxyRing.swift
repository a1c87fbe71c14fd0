// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
@testable import Proxy
import SimulationSupport

/// Ring b, both sides: real connection handlers between scripted clients and scripted upstreams.
struct ProxyRing {
    /// Whether some of them speak HTTP/2; all else speaks HTTP/1.1.
    var hasStreams = false
    /// Rules that are not looked at.
    let ignored: Set<String>

    private static let times: [TimeAmount] = [
        .milliseconds(1), .milliseconds(30), .milliseconds(600), .seconds(3), .seconds(20), .seconds(100),
        .seconds(400),
    ]

    /// One schedule.
    func run(_ schedule: Schedule) throws {
        let ring = ProxyWorld(schedule, hasStreams: self.hasStreams)
        let world = ring.world
        defer { SimulatedLoop.leave() }
        let budget = ConnectionBudget(limit: 100)
        let clients: [any RingClient] = try (0...schedule.pick([0, 0, 1, 2])).map { index in
            if self.hasStreams, !schedule.happens(oneIn: 4) {
                return try StreamClient(ring, "client \(index)", budget: budget)
            }
            return try ProxyClient(ring, "client \(index)", budget: budget)
        }
        world.check = { [unowned ring, unowned world] in
            // Whatever takes its time, the network does not.
            if ring.isPassing {
                for client in clients { client.peer.transmit() }
                for upstream in ring.live {
                    upstream.peer.transmit()
                    upstream.noteUnread()
                }
            }
            for client in clients {
                try self.judge { try client.checkHeld(ring.settings) }
                if client.readsAtOnce, client.hasSomethingToRead { try self.judge(client.receiveAll) }
            }
            try self.judge(ring.checkHeld)
            if world.worker.clientCount < 0 { throw Violation("counts", "fewer than no clients") }
        }
        if self.hasStreams {
            world.beforeTasks = { [unowned ring] in
                guard !ring.isPassing, !ring.isEnding, schedule.happens(oneIn: 10) else { return }
                ring.prune()
                guard !ring.live.isEmpty else { return }
                let upstream = schedule.pick(ring.live)
                try self.judge { try upstream.act(.max, writes: true) }
                if schedule.happens(oneIn: 8) { upstream.leave() }
            }
        }
        for _ in 0..<schedule.draw(4...120) { try self.act(ring, clients) }
        if schedule.happens(oneIn: 4) {
            world.note("from here on everybody is silent")
        } else {
            try self.windDown(ring, clients)
        }
        try self.fallSilent(ring, clients)
        try self.judge(ring.checkServed)
        try self.checkLeaks(ring, clients, budget)
        world.check = {}
        world.beforeTasks = {}
        for client in clients { client.end() }
        for upstream in ring.upstreams { upstream.end() }
        try world.end()
        if clients.contains(where: \.hasHandler) { throw Violation("leak", "a handler lives on") }
    }

    private func act(_ ring: ProxyWorld, _ clients: [any RingClient]) throws {
        let schedule = ring.schedule
        switch schedule.draw(14) {
        case 0...2: for _ in 0...schedule.draw(6) where try !ring.world.runEvent() { break }
        case 3...5: schedule.pick(clients).send(schedule.pick([.max, .max, 1, 200, 2000]))
        case 6, 7:
            let client = schedule.pick(clients)
            let most = schedule.pick([Int.max, 1, 500, 5000])
            try self.judge { try client.receive(most) }
        case 8...10:
            ring.prune()
            guard !ring.live.isEmpty else { return }
            let upstream = schedule.pick(ring.live)
            let most = schedule.pick([Int.max, .max, 1, 100, 3000])
            let writes = !schedule.happens(oneIn: 5)
            try self.judge { try upstream.act(most, writes: writes) }
        case 11:
            switch schedule.draw(self.hasStreams ? 36 : 24) {
            // A farewell in HTTP/1.1 may meet a request that is on its way, which nobody answers then.
            case 35 where !clients.contains(where: { $0 is ProxyClient }) && schedule.happens(oneIn: 6): ring.drain()
            case 24...: schedule.pick(clients).disturb()
            case 20, 21: schedule.pick(clients).halfClose()
            case 22: schedule.pick(clients).reset()
            case 23 where !ring.live.isEmpty: schedule.pick(ring.live).leave()
            default: break
            }
        default:
            let amount = Self.times[min(schedule.draw(Self.times.count), schedule.draw(Self.times.count))]
            ring.note("\(amount.nanoseconds / 1_000_000) ms pass")
            try self.pass(ring, clients, amount)
        }
    }

    private func pass(_ ring: ProxyWorld, _ clients: [any RingClient], _ amount: TimeAmount) throws {
        ring.isPassing = true
        defer { ring.isPassing = false }
        // Whoever is excused is so before mesher acts on it.
        try ring.world.settle()
        for client in clients { client.timePassed() }
        ring.timePassed()
        try ring.world.pass(amount) {
            for client in clients { client.timePassed() }
            ring.timePassed()
        }
    }

    /// Everybody behaves, and everything comes to its end.
    private func windDown(_ ring: ProxyWorld, _ clients: [any RingClient]) throws {
        let world = ring.world
        ring.note("from here on everybody sends and reads all")
        ring.isEnding = true
        var rounds = 0
        var quiet = 0
        while rounds < 3000 {
            rounds += 1
            let before = self.progress(ring, clients)
            for client in clients {
                client.send(.max)
                try self.judge(client.receiveAll)
            }
            ring.prune()
            for upstream in ring.live { try self.judge { try upstream.act(.max, writes: true) } }
            try world.settle()
            for client in clients { try self.judge(client.receiveAll) }
            if world.isBusy || self.progress(ring, clients) != before {
                quiet = 0
                continue
            }
            if clients.allSatisfy({ $0.isSatisfied || $0.isOver }) { break }
            quiet += 1
            if quiet > 1000 { break }
            let next = world.nextDeadline ?? world.loop.now + .seconds(1)
            try self.pass(ring, clients, max(next - world.loop.now, .milliseconds(1)))
        }
        if rounds >= 3000 { throw Violation("endless", "no end in sight") }
        for client in clients { try self.judge(client.checkAnswered) }
        for upstream in ring.live { try self.judge(upstream.checkGivenUp) }
        if ring.schedule.happens(oneIn: 2) { return }
        for client in clients { if ring.schedule.draw(2) == 0 { client.close() } else { client.halfClose() } }
    }

    /// A number that changes whenever anything moves.
    private func progress(_ ring: ProxyWorld, _ clients: [any RingClient]) -> Int {
        ring.upstreams.reduce(ring.upstreams.count) { $0 + $1.moved } + clients.reduce(0) { $0 + $1.moved }
    }

    /// How long the last limit may take: one after the other, where streams end before their connection, and four tries of
    /// a call of gRPC, which nothing but a PING ends.
    private var silence: TimeAmount { self.hasStreams ? .seconds(2400) : .seconds(700) }

    /// Nobody does anything any more: whatever mesher has open ends within its limits.
    private func fallSilent(_ ring: ProxyWorld, _ clients: [any RingClient]) throws {
        try self.pass(ring, clients, self.silence)
    }

    private func checkLeaks(_ ring: ProxyWorld, _ clients: [any RingClient], _ budget: ConnectionBudget) throws {
        for client in clients where !client.channel.isClosed {
            throw Violation("leak", "\(client.name): still open, long after everybody fell silent")
        }
        for upstream in ring.upstreams where !upstream.channel.isClosed {
            throw Violation("leak", "\(upstream.name): still open, long after everybody fell silent")
        }
        let worker = ring.world.worker
        guard worker.clientCount == 0, worker.http2Count == 0, budget.current == 0 else {
            throw Violation("leak", "\(worker.clientCount) clients are counted (\(budget.current)), and none is left")
        }
        guard worker.pool.count == 0, worker.pool.waitingCount == 0 else {
            throw Violation("leak", "the pool counts \(worker.pool.count) connections, and none is left")
        }
        // Drivers stay, for other connections.
        let left = worker.deadlines.all.count { !($0 is ExchangeDriver) }
        guard left == 0 else { throw Violation("leak", "\(left) deadlines are left") }
        for case let driver as ExchangeDriver in worker.deadlines.all where !driver.isIdle {
            throw Violation("leak", "a driver is busy, and nobody is left")
        }
    }

    private func judge(_ body: () throws -> Void) throws {
        do {
            try body()
        } catch let violation as Violation where self.ignored.contains(violation.rule) {
            return
        }
    }
}
