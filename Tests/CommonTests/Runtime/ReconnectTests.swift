// SPDX-License-Identifier: Apache-2.0

import Common
import Foundation
import NIOCore
import NIOPosix
import Testing

@Suite struct ReconnectTests {
    private let start = ContinuousClock.now

    /// The instants at which a client calls within `limit`, to whom `answer` says whether the server has answered.
    private func attempts(
        within limit: Duration, chance: Double, _ answer: (inout Reconnect, ContinuousClock.Instant) -> Void
    ) -> [Duration] {
        var reconnect = Reconnect()
        var now = self.start
        var attempts: [Duration] = []
        while now - self.start <= limit {
            attempts.append(now - self.start)
            answer(&reconnect, now)
            now += reconnect.failed(at: now, chance: chance)
        }
        return attempts
    }

    @Test("pauses double from a second to half a minute, and are drawn from their second half")
    func doubles() {
        for (chance, pauses) in [(1.0, [1.0, 2, 4, 8, 16, 30, 30]), (0, [0.5, 1, 2, 4, 8, 15, 15])] {
            var reconnect = Reconnect()
            var now = self.start
            for pause in pauses {
                let found = reconnect.failed(at: now, chance: chance)
                #expect(found == .seconds(pause))
                now += found
            }
        }
    }

    @Test(
        "a server that takes connections and closes them sees at most ten a minute after the first",
        arguments: [0, 0.5, 1])
    func acceptsAndCloses(chance: Double) {
        let attempts = self.attempts(within: .seconds(60), chance: chance) { reconnect, now in
            reconnect.answered(at: now)
        }
        #expect(attempts.count > 4 && attempts.count - 1 <= 10, "\(attempts)")
    }

    @Test("pauses begin anew after an answer and ten seconds of life, and not before")
    func resets() {
        for (life, isForgotten) in [(9.9, false), (10, true)] {
            var reconnect = Reconnect()
            var now = self.start
            for _ in 0..<6 { now += reconnect.failed(at: now) }
            reconnect.answered(at: now)
            // Further answers do not begin another life.
            reconnect.answered(at: now + .seconds(life / 2))
            #expect(reconnect.isServing)
            #expect(reconnect.pause(at: now) == .zero)
            let pause = reconnect.failed(at: now + .seconds(life))
            #expect((pause <= .seconds(1)) == isForgotten, "\(pause)")
        }
    }

    @Test("a server may ask for more time, not for ever")
    func retryAfter() {
        var reconnect = Reconnect()
        #expect(reconnect.failed(at: self.start, retryAfter: .seconds(90)) == .seconds(90))
        #expect(reconnect.failed(at: self.start + .seconds(90), retryAfter: .seconds(1_000_000)) == .seconds(300))
        // A short one does not make the pause shorter.
        var other = Reconnect()
        other.failed(at: self.start)
        #expect(other.failed(at: self.start + .seconds(1), retryAfter: .zero, chance: 1) == .seconds(2))
    }

    @Test("of calls that fail together one counts, and one of those who wait makes the next attempt")
    func shared() {
        var reconnect = Reconnect()
        for _ in 0..<10 { reconnect.failed(at: self.start, chance: 1) }
        #expect(reconnect.pause(at: self.start) == .seconds(1))
        #expect(reconnect.takeTurn(at: self.start + .milliseconds(999)) == false)
        #expect(reconnect.takeTurn(at: self.start + .seconds(1)) == true)
        #expect(reconnect.takeTurn(at: self.start + .seconds(1)) == false)
        // Whoever waits looks for the answer after a second, however long the next pause would be.
        #expect(reconnect.pause(at: self.start + .seconds(1)) == .seconds(1))
        #expect(reconnect.failed(at: self.start + .seconds(1.5), chance: 1) == .seconds(2))
        #expect(reconnect.pause(at: self.start + .seconds(1.5)) == .seconds(2))
        #expect(reconnect.takeTurn(at: self.start + .seconds(3.5)) == true)
        reconnect.answered(at: self.start + .seconds(3.6))
        #expect(
            reconnect.takeTurn(at: self.start + .seconds(3.6)) && reconnect.takeTurn(at: self.start + .seconds(3.6)))
    }

    @Test(
        "reads Retry-After in both forms",
        arguments: [
            ("120", .seconds(120)), ("0", .zero), ("Sun, 06 Nov 1994 08:49:47 GMT", .seconds(10)),
            ("Sun, 06 Nov 1994 08:49:07 GMT", .zero), ("-1", nil), ("soon", nil), ("", nil),
            ("99999999999999999999", nil),
        ] as [(String, Duration?)])
    func header(text: String, duration: Duration?) {
        let now = Date(timeIntervalSince1970: 784_111_777)
        #expect(Duration(retryAfter: text, at: now) == duration)
        #expect(Duration(retryAfter: nil, at: now) == nil)
    }
}

@Suite(.timeLimit(.minutes(1))) struct CancellableFutureTests {
    @Test("a task that is cancelled waits no longer, and what comes late is disposed of")
    func cancelled() async throws {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let promise = loop.makePromise(of: Int.self)
        let late = loop.makePromise(of: Int.self)
        let waiting = Task { try await promise.futureResult.getCancellable { late.succeed($0) } }
        waiting.cancel()
        await #expect(throws: CancellationError.self) { try await waiting.value }
        promise.succeed(7)
        #expect(try await late.futureResult.get() == 7)
    }

    @Test("without cancellation it is what the future is")
    func completes() async throws {
        struct Failure: Error {}
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        #expect(try await loop.makeSucceededFuture(7).getCancellable() == 7)
        await #expect(throws: Failure.self) {
            try await loop.makeFailedFuture(Failure()).getCancellable { (_: Int) in Issue.record("nothing came") }
        }
    }
}
