// SPDX-License-Identifier: Apache-2.0

import Common
import Proxy
import Testing

@Suite struct FastRandomTests {
    @Test("gives the numbers of the published algorithm")
    func reference() {
        var random = FastRandom(seed: 1_234_567)
        #expect(
            (0..<3).map { _ in random.next() } == [
                6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423,
            ])
    }

    @Test("two generators of the system's seed differ")
    func seeds() {
        var (one, other) = (FastRandom(), FastRandom())
        #expect(one.next() != other.next())
    }

    @Test("every member of a set is as likely as the others", arguments: [2, 3, 50])
    func uniform(count: Int) {
        var random = FastRandom(seed: 1)
        let picks = count * 10_000
        let tally = tally(count, picks: picks) { Int.random(in: 0..<count, using: &random) }
        // Five standard deviations of the binomial, which is 100 at most.
        #expect(tally.allSatisfy { abs($0 - 10_000) < 500 })
    }
}
