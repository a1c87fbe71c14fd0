// SPDX-License-Identifier: Apache-2.0

import Common
import Proxy
import Testing

@Suite struct RetryBudgetTests {
    private static func retries(_ budget: RetryBudget, at second: Int) -> Int {
        var retries = 0
        while retries < 100_000, budget.mayRetry(at: .at(.seconds(second))) { retries += 1 }
        return retries
    }

    @Test(
        "allows a share of the requests of ten seconds, and a reserve",
        arguments: [
            // percent, per second, requests, retries
            (20, 10, 0, 100), (20, 10, 1_000, 300), (20, 0, 1_000, 200), (20, 0, 4, 0), (0, 0, 1_000, 0),
            (0, 1, 1_000, 10), (100, 0, 7, 7), (-1, -1, 7, 0),
        ])
    func share(percent: Int, perSecond: Int, requests: Int, retries: Int) {
        let budget = RetryBudget(percent: percent, perSecond: perSecond)
        for _ in 0..<requests { budget.request(at: .at(.seconds(1))) }
        #expect(Self.retries(budget, at: 1) == retries)
        #expect(Self.retries(budget, at: 10) == 0)
    }

    @Test("who asks with a share of its own has that, of what all others have left")
    func ownShare() {
        let budget = RetryBudget(percent: 20, perSecond: 0)
        for _ in 0..<100 { budget.request(at: .at(.seconds(1))) }
        func retries(_ percent: Int?) -> Int {
            var retries = 0
            while budget.mayRetry(at: .at(.seconds(1)), percent: percent) { retries += 1 }
            return retries
        }
        #expect(retries(0) == 0 && retries(5) == 5 && retries(nil) == 15 && retries(20) == 0 && retries(50) == 30)
    }

    @Test("over a minute in which everything fails, keeps to the share")
    func outage() {
        let budget = RetryBudget()
        var retries = 0
        for second in 1...60 {
            for _ in 0..<500 {
                budget.request(at: .at(.seconds(second)))
                for _ in 0..<3 where budget.mayRetry(at: .at(.seconds(second))) { retries += 1 }
            }
        }
        // 20 % of 30,000 and 10 a second; what ten seconds allow may come at once at both ends.
        #expect(6_400...7_000 ~= retries)
    }

    @Test("forgets requests and retries after ten seconds")
    func window() {
        let budget = RetryBudget(percent: 20, perSecond: 1)
        for _ in 0..<100 { budget.request(at: .at(.seconds(1))) }
        #expect(Self.retries(budget, at: 5) == 30)
        // The requests are forgotten, the retries not yet.
        #expect(Self.retries(budget, at: 12) == 0)
        #expect(Self.retries(budget, at: 15) == 10)
    }

    @Test(
        "loops share the reserve, and none is without",
        arguments: [(1, 100), (2, 50), (3, 34), (64, 2), (1_000, 1), (0, 100)])
    func loops(loops: Int, retries: Int) {
        #expect(Self.retries(RetryBudget(loops: loops), at: 1) == retries)
    }
}
