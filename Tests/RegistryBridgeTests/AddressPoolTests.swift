// SPDX-License-Identifier: Apache-2.0

import Common
import Testing

@testable import RegistryBridge

@Suite struct AddressPoolTests {
    private let start = ContinuousClock.now

    @Test("stays with one address while it works")
    func sticky() {
        var pool = AddressPool(["a", "b"])
        for _ in 0..<3 {
            #expect(pool.pick(at: self.start) == "a")
            pool.succeeded("a", at: self.start)
        }
        pool.failed("a", at: self.start)
        #expect(pool.pick(at: self.start) == "b")
        pool.succeeded("b", at: self.start)
        #expect(pool.pick(at: self.start + .seconds(600)) == "b", "it does not go back by itself")
    }

    @Test("leaves an address alone that has failed, and hands out one attempt at a time when all have")
    func turns() {
        var pool = AddressPool(["a", "b"])
        #expect(pool.take(at: self.start) == "a" && !pool.isServing(at: self.start))
        pool.succeeded("a", at: self.start)
        #expect(pool.isServing(at: self.start))
        pool.failed("a", at: self.start)
        #expect(pool.take(at: self.start) == "b" && pool.pause(at: self.start) == .zero)
        pool.failed("b", at: self.start, retryAfter: .seconds(20))
        let pause = pool.pause(at: self.start)
        #expect(pause >= .milliseconds(500) && pause <= .seconds(1))
        #expect(pool.take(at: self.start) == nil)
        // Of several who wait, one calls; the others may as soon as it was answered.
        #expect(pool.take(at: self.start + pause) == "a")
        #expect(pool.take(at: self.start + pause) == nil)
        pool.succeeded("a", at: self.start + pause)
        #expect(pool.take(at: self.start + pause) == "a" && pool.take(at: self.start + pause) == "a")
    }

    @Test("asks the one that may be tried soonest when all have failed")
    func allFailed() {
        var pool = AddressPool(["a", "b"])
        pool.failed("a", at: self.start, retryAfter: .seconds(9))
        pool.failed("b", at: self.start + .seconds(1))
        #expect(pool.pick(at: self.start + .seconds(1)) == "b")
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
            for _ in 0..<failing { pool.failed("a", at: now) }
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
        pool.failed("a", at: self.start)
        #expect(pool.count == 1 && pool.take(at: self.start) == nil)
        pool = AddressPool(["a", "b", "a"])
        pool.setMembers(["c", "c", "b"])
        #expect(pool.count == 3 && pool.pick(at: self.start) == "a")
    }

    @Test("members that the registry names come after the configured addresses, which stay")
    func members() {
        var pool = AddressPool(["a"])
        pool.setMembers(["b", "a"])
        #expect(pool.count == 2 && pool.pick(at: self.start) == "a")
        pool.failed("a", at: self.start)
        #expect(pool.pick(at: self.start) == "b")
        // What is known of an address outlasts the next word of the registry, and so does the choice.
        pool.setMembers(["c", "b"])
        #expect(pool.pick(at: self.start) == "b")
        pool.setMembers([])
        #expect(pool.count == 1 && pool.pick(at: self.start + .seconds(1)) == "a")
    }

    @Test(
        "for somebody who waits it is called sooner, unless it has asked for the pause itself",
        arguments: [nil, 60] as [Int?])
    func hurry(retryAfter: Int?) {
        var pool = AddressPool(["a"])
        #expect(!pool.mayHurry(at: self.start))
        pool.failed("a", at: self.start, retryAfter: retryAfter.map { .seconds($0) })
        #expect(!pool.mayHurry(at: self.start + .seconds(4)))
        #expect(pool.mayHurry(at: self.start + .seconds(5)) == (retryAfter == nil))
        for number in 1...6 { pool.failed("a", at: self.start + .seconds(number)) }
        // Seven in a minute are enough.
        #expect(!pool.mayHurry(at: self.start + .seconds(50)))
    }
}
