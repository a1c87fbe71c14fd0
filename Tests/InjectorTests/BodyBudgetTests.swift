// SPDX-License-Identifier: Apache-2.0

import TestSupport
import Testing

@testable import Injector

/// Who may be read from when memory is short.
@Suite struct BodyBudgetTests {
    private static var soon: ContinuousClock.Instant { .now + .seconds(20) }

    @Test("who comes when there is no room waits, in order, and small ones do not overtake")
    func order() async {
        let budget = BodyBudget(10)
        #expect(await budget.take(6, until: Self.soon))
        #expect(await budget.take(4, until: Self.soon))
        let large = Task { await budget.take(8, until: Self.soon) }
        #expect(await eventually { budget.waiting == 1 })
        let small = Task { await budget.take(2, until: Self.soon) }
        #expect(await eventually { budget.waiting == 2 })
        budget.give(6)
        #expect(budget.waiting == 2)
        budget.give(4)
        #expect(await large.value)
        #expect(await small.value)
    }

    @Test("nobody waits beyond the end, and who gives up makes room for those behind")
    func end() async {
        let budget = BodyBudget(10)
        #expect(await budget.take(6, until: Self.soon))
        let large = Task { await budget.take(8, until: .now + .milliseconds(50)) }
        #expect(await eventually { budget.waiting == 1 })
        let small = Task { await budget.take(4, until: Self.soon) }
        #expect(await !large.value)
        #expect(await small.value)
        #expect(await !budget.take(1, until: .now - .seconds(1)))
        #expect(budget.waiting == 0)
        budget.give(10)
        #expect(await budget.take(10, until: .now - .seconds(1)), "where there is room nobody looks at the clock")
    }
}
