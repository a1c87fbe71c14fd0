// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
@testable import Proxy
package import SimulationSupport

/// Ring a: the real driver, chain, pool and policies between fake sides on virtual time.
package struct ExchangeRing {
    private static let times: [TimeAmount] = [
        .milliseconds(1), .milliseconds(30), .milliseconds(300), .milliseconds(1200), .seconds(3), .seconds(20),
        .seconds(100), .seconds(400),
    ]

    /// Rules that are not looked at.
    private let ignored: Set<String>

    package init(ignored: Set<String> = []) { self.ignored = ignored }

    /// One schedule.
    package func run(_ schedule: Schedule) throws {
        let world = RingWorld(schedule, ignored: self.ignored)
        defer {
            world.end()
            SimulatedLoop.leave()
        }
        do {
            for number in 0...schedule.pick([1, 0, 2, 3]) {
                world.clients.append(
                    FakeClient(world, "client \(number)", isHTTP2: schedule.draw(2) == 1))
            }
            try world.settle()
            for _ in 0..<schedule.draw(20...80) {
                try self.act(world)
                try world.check()
                try world.settle()
            }
            try self.windDown(world)
            try world.checkEnd()
        } catch let violation as Violation where self.ignored.contains(violation.rule) {
            return
        }
    }

    private func act(_ world: RingWorld) throws {
        let schedule = world.schedule
        switch schedule.draw(32) {
        case 0...10:
            let client = schedule.pick(world.clients)
            // A stream is used once, a connection on and on.
            if client.isOver {
                world.clients.removeAll { $0 === client }
                world.clients.append(FakeClient(world, world.nextName(), isHTTP2: client.isHTTP2))
            } else if client.call != nil || world.calls.count < 8 {
                client.act(isKind: false)
            }
        case 11...21: self.upstream(world)?.act(isKind: false)
        case 22, 23: world.connector.act(isKind: false)
        case 24:
            if !world.shared.isEmpty { schedule.pick(world.shared).act() }
        case 25:
            let idle = world.connections.filter(\.isIdle)
            if !idle.isEmpty {
                let connection = schedule.pick(idle)
                world.event("\(connection.name) closes while it is idle", .upstreams) { connection.die() }
            }
        case 26:
            switch schedule.draw(8) {
            case 0, 1: world.changeDirectory()
            case 2: world.changePlan()
            case 3: world.drainBudget()
            case 4, 5: world.changeRules()
            case 6:
                world.note("idle connections are closed")
                world.change { world.worker.closeIdleConnections() }
            default:
                world.note("other limits of idle connections hold")
                var settings = world.outgoing.settings
                settings.maxIdleUpstream = 1
                settings.upstreamIdle = .seconds(2)
                world.change { world.worker.apply(settings) }
            }
        default:
            let amount = Self.times[min(schedule.draw(Self.times.count), schedule.draw(Self.times.count))]
            world.note("\(amount.nanoseconds / 1_000_000) ms pass")
            try world.pass(amount)
        }
    }

    /// One of those that serve somebody.
    private func upstream(_ world: RingWorld) -> FakeUpstream? {
        var busy: [FakeUpstream] = world.connections.filter(\.isServing)
        for connection in world.shared { busy += connection.streams.filter(\.isServing) }
        return busy.isEmpty ? nil : world.schedule.pick(busy)
    }

    private func windDown(_ world: RingWorld) throws {
        if world.schedule.draw(3) < 2 {
            world.note("from here on everybody does what is expected")
            try self.finishKindly(world)
        } else {
            world.note("from here on nobody does anything")
        }
        // So long may every try of one be silent.
        try world.pass(.seconds(3000))
        // A stream of messages has no limit but its own.
        for call in world.live where !call.isGRPC || call.timeout != nil {
            throw Violation("hang", "call \(call.number) is \(call.driver.phase), 3000 s after the last event")
        }
        for client in world.clients {
            client.leaveNow()
            try world.check()
        }
        try world.pass(.seconds(60))
    }

    private func finishKindly(_ world: RingWorld) throws {
        var rounds = 0
        while !world.live.isEmpty {
            rounds += 1
            guard rounds < 100 else {
                let call = world.live[0]
                throw Violation(
                    "hang", "call \(call.number) is \(call.driver.phase), though everybody does what is expected")
            }
            for client in world.clients {
                client.act(isKind: true)
                try world.check()
            }
            world.connector.act(isKind: true)
            try world.check()
            for connection in world.shared {
                connection.sendSettings()
                try world.check()
            }
            for connection in world.connections where connection.isServing {
                connection.act(isKind: true)
                try world.check()
            }
            for connection in world.shared {
                for stream in connection.streams {
                    stream.act(isKind: true)
                    try world.check()
                }
            }
            try world.passToNextDeadline()
        }
    }
}
