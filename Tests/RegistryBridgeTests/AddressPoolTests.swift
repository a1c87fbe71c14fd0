// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import RegistryBridge

@Suite struct AddressPoolTests {
    private let start = ContinuousClock.now

    @Test("stays with one address while it works")
    func sticky() {
        var pool = AddressPool(["a", "b"])
        for _ in 0..<3 {
            #expect(pool.pick(at: self.start) == "a")
            pool.succeeded("a")
        }
        pool.failed("a", at: self.start)
        #expect(pool.pick(at: self.start) == "b")
        pool.succeeded("b")
        #expect(pool.pick(at: self.start + .seconds(600)) == "b", "it does not go back by itself")
    }

    @Test("leaves an address alone for 5 seconds, then twice as long, a minute at most")
    func pauses() {
        for (failures, pause) in [(1, 5), (2, 10), (3, 20), (4, 40), (5, 60), (9, 60)] {
            var pool = AddressPool(["a", "b"])
            for _ in 0..<failures { pool.failed("a", at: self.start) }
            #expect(pool.pick(at: self.start) == "b")
            // The other one fails so late that only the first can be open.
            pool.failed("b", at: self.start + .seconds(pause) - .milliseconds(2))
            pool.failed("b", at: self.start + .seconds(pause) - .milliseconds(2))
            #expect(pool.pick(at: self.start + .seconds(pause)) == "a")
        }
    }

    @Test("asks the one that may be tried soonest when all have failed")
    func allFailed() {
        var pool = AddressPool(["a", "b"])
        pool.failed("a", at: self.start)
        pool.failed("a", at: self.start)
        pool.failed("b", at: self.start + .seconds(1))
        #expect(pool.pick(at: self.start + .seconds(2)) == "b")
        #expect(AddressPool([]).count == 0)
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
}

@Suite struct BackoffTests {
    @Test("waits one second at first, then half as long again each time, half a minute at most")
    func grows() {
        var backoff = Backoff()
        #expect(backoff.delay(noise: 0) == .seconds(1))
        #expect(backoff.delay(noise: 1) == .milliseconds(2250))
        #expect(backoff.delay(noise: -1) == .milliseconds(1125))
        for _ in 0..<20 { _ = backoff.delay(noise: 0) }
        #expect(backoff.delay(noise: 0) == .seconds(30))
        backoff.reset()
        #expect(backoff.delay(noise: 0) == .seconds(1))
    }
}
