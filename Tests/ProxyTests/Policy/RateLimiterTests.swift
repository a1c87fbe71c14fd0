// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import Proxy
import Testing

@Suite struct RateLimiterTests {
    @Test("admits 20 a second for ten seconds, and what it held")
    func exact() {
        let limiter = RateLimiter(rate: 20)
        #expect(limiter.available(at: .at(.seconds(100))) == 4)
        let admitted = (0..<10_000).count { limiter.admit(at: .at(.milliseconds(100_000 + $0))) == .admitted }
        #expect(203...204 ~= admitted)
        #expect(limiter.admit(at: .at(.milliseconds(109_999))) != .admitted)
        #expect(limiter.available(at: .at(.seconds(110))) == 1)
        #expect(limiter.available(at: .at(.seconds(120))) == 4)
    }

    @Test("refuses everything at a rate of nothing", arguments: [0, -5])
    func nothing(rate: Int) {
        let limiter = RateLimiter(rate: rate, burst: 10)
        #expect(limiter.admit(at: .at(.seconds(1))) == .refused(retryAfter: nil))
        #expect(limiter.available(at: .at(.seconds(1))) == 0)
    }

    @Test("threads together take exactly the tokens that there are")
    func threads() async {
        let limiter = RateLimiter(rate: 1_000, burst: 100)
        let admitted = await withTaskGroup(of: Int.self) { group in
            for thread in 0..<4 {
                group.addTask {
                    // Two seconds each, by clocks that differ by up to three milliseconds.
                    (0..<20_000).count { step in
                        limiter.admit(at: .at(.microseconds(5_000_000 + 1_000 * thread + 100 * step))) == .admitted
                    }
                }
            }
            return await group.reduce(0, +)
        }
        // The tokens of 2.003 seconds and those of the beginning; a thread that is behind may be refused.
        #expect(admitted <= 2_103)
        #expect(admitted >= 1_900)
    }
}
