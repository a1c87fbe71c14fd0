// SPDX-License-Identifier: Apache-2.0

import Common
import Proxy
import Testing

@Suite struct LeastRequestTests {
    @Test("takes the only one, and none of none")
    func few() {
        var random = FastRandom(seed: 1)
        #expect(LeastRequest.pick(of: 0, using: &random) { $0 } == nil)
        #expect(LeastRequest.pick(of: -1, using: &random) { $0 } == nil)
        #expect(LeastRequest.pick(of: 1, using: &random) { $0 } == 0)
    }

    @Test("spreads evenly over members of equal load", arguments: [2, 3, 50])
    func even(count: Int) {
        var random = FastRandom(seed: 2)
        let tally = tally(count, picks: count * 10_000) { LeastRequest.pick(of: count, using: &random) { _ in 0 } }
        #expect(tally.allSatisfy { abs($0 - 10_000) < 500 })
    }

    @Test("of two takes the less loaded one, and never the most loaded of more", arguments: [2, 3, 50])
    func loaded(count: Int) {
        var random = FastRandom(seed: 3)
        let tally = tally(count, picks: 10_000) { LeastRequest.pick(of: count, using: &random) { $0 } }
        #expect(tally[count - 1] == 0)
        // The best one is among the two in 2/n of the cases.
        #expect(abs(Double(tally[0]) - 20_000 / Double(count)) < 250)
    }

    @Test("keeps the loads close to each other when nothing is finished", arguments: [2, 3, 50])
    func balance(count: Int) {
        var random = FastRandom(seed: 4)
        var loads = [Int](repeating: 0, count: count)
        for _ in 0..<count * 1_000 {
            let index = LeastRequest.pick(of: count, using: &random) { loads[$0] }
            if let index { loads[index] += 1 }
        }
        #expect(loads.allSatisfy { abs($0 - 1_000) <= 8 })
    }
}
