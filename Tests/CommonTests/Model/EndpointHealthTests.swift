// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import Testing

@Suite struct EndpointHealthTests {
    private static func at(_ second: Int64) -> NIODeadline { .uptimeNanoseconds(0) + .seconds(second) }

    /// Fails so often at `second`; the outcomes.
    private static func fail(
        _ health: EndpointHealth, _ times: Int, _ failure: EndpointHealth.Failure = .response, at second: Int64,
        _ settings: OutlierSettings = OutlierSettings(), mayEject: Bool = true
    ) -> [Bool] {
        (0..<times).map { _ in health.failed(failure, at: Self.at(second), settings: settings) { mayEject } }
    }

    @Test("five failures in a row eject, for ten seconds")
    func errors() {
        let health = EndpointHealth()
        #expect(!health.isEjected(at: Self.at(0)))
        #expect(Self.fail(health, 4, at: 100) == [false, false, false, false])
        health.succeeded(at: Self.at(100))
        #expect(Self.fail(health, 6, at: 100) == [false, false, false, false, true, false])
        #expect(health.isEjected(at: Self.at(100)) && health.isEjected(at: Self.at(109)))
        #expect(!health.isEjected(at: Self.at(110)))
    }

    @Test("two connect failures in a row eject sooner; another failure between them does not")
    func connects() {
        let health = EndpointHealth()
        #expect(Self.fail(health, 2, .connect, at: 100) == [false, true])
        let mixed = EndpointHealth()
        #expect(Self.fail(mixed, 1, .connect, at: 100) == [false])
        #expect(Self.fail(mixed, 1, .response, at: 100) == [false])
        #expect(Self.fail(mixed, 1, .connect, at: 100) == [false])
        #expect(Self.fail(mixed, 1, .connect, at: 100) == [true])
    }

    @Test("each ejection in a row lasts longer, up to a limit; a success afterwards starts over")
    func growing() {
        let settings = OutlierSettings(consecutiveErrors: 1, maxTime: .seconds(35))
        let health = EndpointHealth()
        var now: Int64 = 100
        for length in [10, 20, 30, 35, 35] as [Int64] {
            #expect(Self.fail(health, 1, at: now, settings) == [true])
            #expect(health.isEjected(at: Self.at(now + length - 1)))
            now += length
            #expect(!health.isEjected(at: Self.at(now)))
        }
        health.succeeded(at: Self.at(now))
        #expect(Self.fail(health, 1, at: now, settings) == [true])
        #expect(!health.isEjected(at: Self.at(now + 10)))
    }

    @Test("outcomes of requests that began before the ejection change nothing")
    func stragglers() {
        let settings = OutlierSettings(consecutiveErrors: 2)
        let health = EndpointHealth()
        #expect(Self.fail(health, 2, at: 100, settings) == [false, true])
        #expect(Self.fail(health, 50, at: 105, settings).allSatisfy { !$0 })
        health.succeeded(at: Self.at(105))
        #expect(health.isEjected(at: Self.at(109)))
        // The failures are counted from the start again, the ejections are not.
        #expect(Self.fail(health, 2, at: 110, settings) == [false, true])
        #expect(health.isEjected(at: Self.at(129)))
    }

    @Test("thresholds of 0 are off")
    func off() {
        let health = EndpointHealth()
        let none = OutlierSettings(consecutiveErrors: 0, consecutiveConnectFailures: 0)
        #expect(Self.fail(health, 100_000, .connect, at: 100, none).allSatisfy { !$0 })
        let errorsOnly = OutlierSettings(consecutiveErrors: .max, consecutiveConnectFailures: 0)
        #expect(Self.fail(health, 1, .connect, at: 100, errorsOnly) == [true])
    }

    @Test("the cap holds an ejection back until there is room")
    func cap() {
        let health = EndpointHealth()
        #expect(Self.fail(health, 7, at: 100, mayEject: false).allSatisfy { !$0 })
        #expect(!health.isEjected(at: Self.at(100)))
        #expect(Self.fail(health, 1, at: 100) == [true])
    }

    @Test(
        "half of the endpoints at most, and never the last one",
        arguments: [
            // ejected, count, percent
            (0, 1, 100, false), (0, 2, 50, true), (1, 2, 50, false), (1, 2, 100, false), (0, 3, 50, true),
            (1, 3, 50, false), (1, 3, 100, true), (2, 3, 100, false), (4, 10, 50, true), (5, 10, 50, false),
            (0, 10, 10, true), (1, 10, 10, false), (0, 10, 0, false), (0, 0, 50, false), (-1, 2, 50, false),
            (0, .max, .max, true),
        ])
    func mayEject(ejected: Int, count: Int, percent: Int, expected: Bool) {
        #expect(EndpointHealth.mayEject(ejected: ejected, of: count, maxPercent: percent) == expected)
    }

    @Test("what an operator withholds is passed over like an ejected endpoint, for ever, and is none")
    func orders() {
        let health = EndpointHealth()
        let never = NIODeadline.distantFuture - .hours(1)
        for order in [OperatorOrder.disabled, .draining] {
            health.set(order)
            #expect(health.order == order && health.isWithheld && health.isEjected(at: never))
            #expect(health.ejectionLeft(at: Self.at(100)) == nil && !health.wasEjected)
            // Requests that are under way go on, and change nothing.
            #expect(Self.fail(health, 50, at: 100).allSatisfy { !$0 })
            health.succeeded(at: Self.at(100))
            #expect(!health.endEjection(at: Self.at(100)))
            #expect(health.order == order)
        }
        health.set(nil)
        #expect(health.order == nil && !health.isWithheld && !health.isEjected(at: Self.at(100)))
        // An ejection does not outlast a decision, and `nil` is none.
        #expect(Self.fail(health, 50, at: 100).contains(true))
        health.set(nil)
        #expect(health.isEjected(at: Self.at(101)) && health.wasEjected)
        health.set(.draining)
        health.set(nil)
        #expect(!health.isEjected(at: Self.at(101)) && !health.wasEjected)
    }

    @Test("an ejection ends at once, with all that was counted")
    func end() {
        let settings = OutlierSettings(consecutiveErrors: 2)
        let health = EndpointHealth()
        #expect(!health.endEjection(at: Self.at(100)))
        #expect(Self.fail(health, 2, at: 100, settings) == [false, true])
        #expect(health.endEjection(at: Self.at(101)) && !health.isEjected(at: Self.at(101)) && !health.wasEjected)
        #expect(!health.endEjection(at: Self.at(101)))
        // The next one is as long as the first.
        #expect(Self.fail(health, 2, at: 200, settings) == [false, true])
        #expect(health.ejectionLeft(at: Self.at(200)).map { $0 <= .seconds(10) } == true)
    }

    @Test("of many threads exactly one ejects")
    func threads() async {
        for _ in 0..<200 {
            let health = EndpointHealth()
            let ejections = await withTaskGroup(of: Int.self) { group in
                for _ in 0..<4 {
                    group.addTask { Self.fail(health, 10, at: 100).count { $0 } }
                }
                return await group.reduce(0, +)
            }
            #expect(ejections == 1)
        }
    }
}
