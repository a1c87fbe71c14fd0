// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
@testable import Proxy
import SimulationSupport

/// Dials fake upstreams: at once, late, or in vain.
final class FakeConnector: UpstreamConnector {
    struct Refused: Error {}

    /// A connection that is not made yet.
    final class Dial {
        let group: ConnectionPool.Group
        let kind: ConnectionKind
        let settings: ProxySettings
        let deadline: NIODeadline
        let then: (Result<DialledConnection, any Error>) -> Void

        init(
            _ group: ConnectionPool.Group, _ kind: ConnectionKind, _ settings: ProxySettings, deadline: NIODeadline,
            then: @escaping (Result<DialledConnection, any Error>) -> Void
        ) {
            self.group = group
            self.kind = kind
            self.settings = settings
            self.deadline = deadline
            self.then = then
        }
    }

    /// Set when the world is there.
    weak var world: RingWorld?
    private(set) var pending: [Dial] = []
    /// How many were asked for.
    private(set) var count = 0

    func dial(
        _ group: ConnectionPool.Group, _ kind: ConnectionKind, _ worker: Worker, _ settings: ProxySettings,
        then: @escaping (Result<DialledConnection, any Error>) -> Void
    ) {
        guard let world = self.world else { return then(.failure(Refused())) }
        self.count += 1
        world.note("connect to \(group.endpoint)")
        let dial = Dial(group, kind, settings, deadline: worker.now + settings.connect, then: then)
        switch world.schedule.draw(5) {
        case 0, 1: self.succeed(dial, world)
        case 2: then(.failure(Refused()))
        default: self.pending.append(dial)
        }
    }

    private func succeed(_ dial: Dial, _ world: RingWorld) {
        let isDead = world.schedule.happens(oneIn: 12)
        let name = world.nextName()
        world.note("\(name) is connected to \(dial.group.endpoint)\(isDead ? ", and lost" : "")")
        if case .http2 = dial.kind {
            let connection =
                isDead
                ? FakeShared.dead(world, name, dial.group, dial.settings)
                : FakeShared(world, name, dial.group, dial.settings)
            return dial.then(.success(.shared(connection)))
        }
        let connection = FakeConnection(world, name, dial.group)
        dial.then(.success(.single(connection)))
        if isDead { connection.die() }
    }

    /// One of those that wait comes to its end.
    func act(isKind: Bool) {
        guard let world = self.world, !self.pending.isEmpty else { return }
        let dial = self.pending.remove(at: world.schedule.draw(self.pending.count))
        world.event("an upstream accepts or refuses", .connector) {
            if isKind || world.schedule.draw(4) < 3 {
                self.succeed(dial, world)
            } else {
                dial.then(.failure(Refused()))
            }
        }
    }

    /// Those that have waited for too long.
    func expire(at now: NIODeadline) {
        while let index = self.pending.firstIndex(where: { $0.deadline <= now }) {
            let dial = self.pending.remove(at: index)
            self.world?.event("a connect takes too long", .connector) { dial.then(.failure(Refused())) }
        }
    }
}
