// SPDX-License-Identifier: Apache-2.0

import Common
import Synchronization
import Testing

@testable import RegistryBridge

@Suite struct AddressPoolTests {
    private let start = ContinuousClock.now

    /// Where a server is asked whose name nobody knows.
    private static func place(_ url: String) -> ServerPlace { ServerPlace(url: url, name: url, address: nil) }

    @Test("stays with one address while it works")
    func sticky() {
        var pool = AddressPool(["a", "b"])
        for _ in 0..<3 {
            #expect(pool.pick(at: self.start)?.url == "a")
            pool.succeeded(Self.place("a"), at: self.start)
        }
        pool.failed(Self.place("a"), at: self.start)
        #expect(pool.pick(at: self.start)?.url == "b")
        pool.succeeded(Self.place("b"), at: self.start)
        #expect(pool.pick(at: self.start + .seconds(600))?.url == "b", "it does not go back by itself")
    }

    @Test("leaves an address alone that has failed, and hands out one attempt at a time when all have")
    func turns() {
        var pool = AddressPool(["a", "b"])
        #expect(pool.take(at: self.start)?.url == "a" && !pool.isServing(at: self.start))
        pool.succeeded(Self.place("a"), at: self.start)
        #expect(pool.isServing(at: self.start) == true)
        pool.failed(Self.place("a"), at: self.start)
        #expect(pool.take(at: self.start)?.url == "b" && pool.pause(at: self.start) == .zero)
        pool.failed(Self.place("b"), at: self.start, retryAfter: .seconds(20))
        let pause = pool.pause(at: self.start)
        #expect(pause >= .milliseconds(500) && pause <= .seconds(1))
        #expect(pool.take(at: self.start) == nil)
        // Of several who wait, one calls; the others may as soon as it was answered.
        #expect(pool.take(at: self.start + pause)?.url == "a")
        #expect(pool.take(at: self.start + pause) == nil)
        pool.succeeded(Self.place("a"), at: self.start + pause)
        #expect(pool.take(at: self.start + pause)?.url == "a" && pool.take(at: self.start + pause)?.url == "a")
    }

    @Test("asks the one that may be tried soonest when all have failed")
    func allFailed() {
        var pool = AddressPool(["a", "b"])
        pool.failed(Self.place("a"), at: self.start, retryAfter: .seconds(9))
        pool.failed(Self.place("b"), at: self.start + .seconds(1))
        #expect(pool.pick(at: self.start + .seconds(1))?.url == "b")
        #expect(AddressPool([]).count == 0)
    }

    @Test(
        "all callers of a server together call it ten times a minute at most when it does not serve", arguments: 1...5)
    func budget(callers: Int) {
        var pool = AddressPool(["a"])
        var attempts = 0
        // A tick of ten milliseconds, at which each caller tries; an attempt fails at the next one.
        var failing = 0
        for tick in 0..<6_000 {
            let now = self.start + .milliseconds(10 * tick)
            for _ in 0..<failing { pool.failed(Self.place("a"), at: now) }
            failing = 0
            for _ in 0..<callers where pool.take(at: now) != nil {
                attempts += 1
                failing += 1
            }
        }
        // All may come at the start.
        #expect(attempts > callers + 4 && attempts <= callers + 10)
    }

    @Test("an address that is written twice is one, and left alone like any other")
    func twice() {
        var pool = AddressPool(["a", "a"])
        pool.failed(Self.place("a"), at: self.start)
        #expect(pool.count == 1 && pool.take(at: self.start) == nil)
        pool = AddressPool(["a", "b", "a"])
        pool.setMembers(["c", "c", "b"])
        #expect(pool.count == 3 && pool.pick(at: self.start)?.url == "a")
    }

    @Test("a name is as many addresses as it stands for; what is known of one lasts as long as that")
    func names() {
        let known = Mutex([String: [String]]())
        var pool = AddressPool(["http://a:1", "http://10.0.0.9:1"]) { name in known.withLock { $0[name] } }
        #expect(pool.names == ["a"] && pool.count == 2)
        #expect(pool.take(at: self.start)?.isKnown == false)
        known.withLock { $0["a"] = ["10.0.0.1", "10.0.0.2"] }
        let places = (1...3).compactMap { _ -> ServerPlace? in
            guard let place = pool.take(at: self.start) else { return nil }
            pool.failed(place, at: self.start)
            return place
        }
        #expect(
            places.map(\.description) == [
                "http://a:1 (10.0.0.1)", "http://a:1 (10.0.0.2)", "http://10.0.0.9:1",
            ])
        #expect(pool.take(at: self.start) == nil)
        // The new one has not failed yet.
        known.withLock { $0["a"] = ["10.0.0.2", "10.0.0.3"] }
        #expect(pool.take(at: self.start)?.address == "10.0.0.3" && pool.count == 3)
        if let third = pool.pick(at: self.start) { pool.failed(third, at: self.start) }
        #expect(pool.take(at: self.start) == nil)
    }

    @Test("members that the registry names come after the configured addresses, which stay")
    func members() {
        var pool = AddressPool(["a"])
        pool.setMembers(["b", "a"])
        #expect(pool.count == 2 && pool.pick(at: self.start)?.url == "a")
        pool.failed(Self.place("a"), at: self.start)
        #expect(pool.pick(at: self.start)?.url == "b")
        // What is known of an address outlasts the next word of the registry, and so does the choice.
        pool.setMembers(["c", "b"])
        #expect(pool.pick(at: self.start)?.url == "b")
        pool.setMembers([])
        #expect(pool.count == 1 && pool.pick(at: self.start + .seconds(1))?.url == "a")
    }

    @Test("for somebody who waits it is called a second after it has failed, however long the pauses have become")
    func hurry() {
        var pool = AddressPool(["a"])
        #expect(pool.hurriedPause(at: self.start) == .zero)
        // Away for a minute, and nobody has waited.
        var failed = self.start
        while failed < self.start + .seconds(60) {
            pool.failed(Self.place("a"), at: failed)
            failed += pool.pause(at: failed)
        }
        let last = pool.hurriedPause(at: failed - .milliseconds(100))
        #expect(last <= .milliseconds(100), "\(last)")
        guard pool.take(at: failed) != nil else {
            Issue.record("its turn has not come")
            return
        }
        pool.failed(Self.place("a"), at: failed)
        #expect(pool.pause(at: failed) > .seconds(10) && pool.hurriedPause(at: failed) == .seconds(1))
        let hurried = failed + .seconds(1)
        #expect(pool.hurriedPause(at: hurried) == .zero && pool.insist(at: hurried)?.url == "a")
        // Not every request may call it.
        #expect(pool.hurriedPause(at: hurried) > .seconds(7))
    }

    @Test("a server that has asked for a pause gets it, whoever waits")
    func asked() {
        var pool = AddressPool(["a"])
        pool.failed(Self.place("a"), at: self.start, retryAfter: .seconds(60))
        #expect(pool.hurriedPause(at: self.start + .seconds(59)) == .seconds(1))
    }

    @Test("with somebody who always waits, and a heartbeat that insists, too")
    func insisting() {
        var pool = AddressPool(["a"])
        var attempts: [ContinuousClock.Instant] = []
        for tick in 0..<30_000 {
            let now = self.start + .milliseconds(10 * tick)
            let mayInsist = tick % 2_700 == 0 && pool.mayInsist(at: now)
            let place =
                pool.take(at: now) ?? (mayInsist || pool.hurriedPause(at: now) == .zero ? pool.insist(at: now) : nil)
            guard let place else { continue }
            attempts.append(now)
            pool.failed(place, at: now)
        }
        let most = attempts.map { first in attempts.count { $0 > first && $0 - first <= .seconds(60) } }.max() ?? 0
        #expect(most <= 10 && most > 6, "\(most)")
    }
}
