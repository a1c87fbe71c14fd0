// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
@testable import Proxy
import SimulationSupport

/// Ring b, the clients' side: real connection handlers on simulated channels, and a chain that answers by itself.
struct ServerRing {
    /// Answers what the path says: `/number/size/milliseconds`.
    private struct AnswerStage: Stage {
        static let name = "answer"
        /// `String(repeating:count:)` is a quarter of a schedule.
        private static let text = [UInt8](repeating: UInt8(ascii: "x"), count: 8192)

        func onRequest(_ exchange: inout Exchange) -> Verdict {
            let path = exchange.requestHeaders.string(in: exchange.request.path)
            let parts = path.split(separator: "/").compactMap { Int($0) }
            guard parts.count == 3 else { return .reply(LocalReply(status: 400)) }
            if parts[2] > 0, !exchange.hasDelayed {
                exchange.hasDelayed = true
                let loop = exchange.worker.eventLoop
                return .again(loop.scheduleTask(in: .milliseconds(Int64(parts[2]))) {}.futureResult)
            }
            var reply = LocalReply(status: 200, body: String(decoding: Self.text[..<parts[1]], as: UTF8.self))
            reply.headers = [LocalReply.Header("x-number", "\(parts[0])")]
            return .reply(reply)
        }
    }

    private static let chain = StageChain([AnswerStage()])
    /// Rules that are not looked at, because it is known that they are broken.
    let ignored: Set<String>

    private static let times: [TimeAmount] = [
        .milliseconds(1), .milliseconds(30), .milliseconds(600), .seconds(3), .seconds(20), .seconds(100),
        .seconds(400),
    ]

    /// One schedule.
    func run(_ schedule: Schedule) throws {
        let world = World(schedule)
        defer { SimulatedLoop.leave() }
        var settings = World.settings
        settings.buffer = schedule.pick([4096, 16384])
        let plan = TrafficPlan(direction: .outgoing, chain: Self.chain, settings: settings)
        let plans = Snapshot(plan, on: world.loop)
        let clients = try (0...schedule.pick([0, 0, 1, 2])).map { index in
            try ScriptedClient(world, "client \(index)", plans: plans.reader(for: world.loop))
        }
        let rules = self
        world.check = { [unowned world] in
            for client in clients {
                try rules.judge { try client.checkHeld(settings) }
                if client.readsAtOnce, client.channel.socket.canTransmit { try rules.judge(client.receiveAll) }
            }
            if world.worker.clientCount < 0 { throw Violation("counts", "fewer than no clients") }
        }
        for _ in 0..<schedule.draw(4...100) { try self.act(world, clients) }
        try self.windDown(world, clients)
        try self.checkLeaks(world, clients)
        for client in clients { client.end() }
        try world.end()
        if clients.contains(where: { $0.handler != nil }) { throw Violation("leak", "a handler lives on") }
    }

    private func act(_ world: World, _ clients: [ScriptedClient]) throws {
        let schedule = world.schedule
        let action = schedule.draw(10)
        switch action {
        case 0...2:
            for _ in 0...schedule.draw(4) where try !world.runEvent() { break }
        case 3...5: schedule.pick(clients).send(schedule.pick([.max, 1, 17, 200, 2000]))
        case 6: try self.judge { try schedule.pick(clients).receive(schedule.pick([.max, 1, 500, 5000])) }
        case 7:
            let client = schedule.pick(clients)
            switch schedule.draw(24) {
            case 21: client.halfClose()
            case 22: client.reset()
            case 23 where client.isSatisfied: client.close()
            default: break
            }
        default:
            let amount = Self.times[min(schedule.draw(Self.times.count), schedule.draw(Self.times.count))]
            world.note("\(amount.nanoseconds / 1_000_000) ms pass")
            try world.settle()
            for client in clients { client.timePassed() }
            try world.pass(amount) { for client in clients { client.timePassed() } }
        }
    }

    /// Everybody behaves, and everything comes to its end.
    private func windDown(_ world: World, _ clients: [ScriptedClient]) throws {
        world.note("from here on everybody sends and reads all")
        var rounds = 0
        while true {
            rounds += 1
            for client in clients {
                client.send(.max)
                try self.judge(client.receiveAll)
            }
            try world.settle()
            for client in clients { try self.judge(client.receiveAll) }
            if world.isBusy { continue }
            if clients.allSatisfy({ $0.isSatisfied || $0.isOver }) || rounds > 2000 { break }
            try world.passToNextDeadline { for client in clients { client.timePassed() } }
        }
        for client in clients { try self.judge(client.checkAnswered) }
        for client in clients { if world.schedule.draw(2) == 0 { client.close() } else { client.halfClose() } }
        for _ in 0..<10 where !clients.allSatisfy({ $0.channel.isClosed }) {
            try world.settle()
            for client in clients { try self.judge(client.receiveAll) }
            try world.pass(.seconds(1))
        }
        for client in clients { client.close() }
        try world.pass(.seconds(1))
    }

    private func checkLeaks(_ world: World, _ clients: [ScriptedClient]) throws {
        for client in clients where !client.channel.isClosed {
            throw Violation("leak", "\(client.name): still open, ten seconds after everybody has left")
        }
        guard world.worker.clientCount == 0 else {
            throw Violation("leak", "\(world.worker.clientCount) clients are counted, and none is left")
        }
        // A driver that is free keeps its place.
        let left = world.worker.deadlines.all.count { !($0 is ExchangeDriver) }
        guard left == 0 else {
            throw Violation("leak", "\(left) deadlines are left")
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
