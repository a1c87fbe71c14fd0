// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import Proxy
import Testing

@Suite struct PeakEWMATests {
    @Test("jumps to a peak, and comes down over ten seconds")
    func peak() {
        var latency = PeakEWMA()
        latency.observe(.milliseconds(10), at: .at(.seconds(100)))
        #expect(latency.cost(outstanding: 0, at: .at(.seconds(100))) == 10e6)
        latency.observe(.milliseconds(500), at: .at(.seconds(101)))
        #expect(latency.cost(outstanding: 0, at: .at(.seconds(101))) == 500e6)
        for step in 1...100 { latency.observe(.milliseconds(10), at: .at(.seconds(101) + .milliseconds(100 * step))) }
        // 1/e of the way from 500 to 10 is left after ten seconds.
        let cost = latency.cost(outstanding: 0, at: .at(.seconds(111)))
        #expect(abs(cost - (10e6 + 490e6 * 0.36788)) < 2e6)
    }

    @Test("costs more with each request under way, and less as time goes by")
    func cost() {
        var latency = PeakEWMA()
        latency.observe(.milliseconds(10), at: .at(.seconds(100)))
        #expect(latency.cost(outstanding: 3, at: .at(.seconds(100))) == 40e6)
        #expect(abs(latency.cost(outstanding: 0, at: .at(.seconds(110))) - 3.6788e6) < 1e3)
        #expect(latency.cost(outstanding: -1, at: .at(.seconds(99))) == 10e6)
        #expect(latency.cost(outstanding: 0, at: .distantFuture) >= 0)
    }

    @Test("one that was never measured gets a first request, and no second before it has answered")
    func unmeasured() {
        let new = PeakEWMA()
        var known = PeakEWMA()
        let now = NIODeadline.at(.seconds(100))
        known.observe(.seconds(30), at: now)
        #expect(new.cost(outstanding: 0, at: now) < known.cost(outstanding: 0, at: now))
        #expect(new.cost(outstanding: 1, at: now) > known.cost(outstanding: 1_000, at: now))
        #expect(new.cost(outstanding: 1, at: now) < new.cost(outstanding: 2, at: now))
        var instant = PeakEWMA()
        instant.observe(.zero, at: now)
        #expect(instant.cost(outstanding: 5, at: now) < known.cost(outstanding: 0, at: now))
    }

    @Test("a failure costs a second, or three times what is usual, or what it took; an answer halves that")
    func failure() {
        let now = NIODeadline.at(.seconds(100))
        func cost(_ usual: Duration?, _ times: [Duration]) -> Double {
            var latency = PeakEWMA()
            if let usual { latency.observe(usual, at: now) }
            for time in times { latency.fail(after: time, at: now) }
            return latency.cost(outstanding: 0, at: now)
        }
        #expect(cost(nil, [.zero]) == 1e9 && cost(.milliseconds(10), [.microseconds(100)]) == 1e9)
        // However often, it does not grow: an instance that is back must not be shunned for long.
        #expect(cost(.seconds(2), [.zero]) == 6e9 && cost(.seconds(2), [.zero, .zero, .zero]) == 6e9)
        #expect(cost(.milliseconds(10), [.seconds(30), .zero]) == 30e9)
        var latency = PeakEWMA()
        latency.fail(after: .zero, at: now)
        #expect(abs(latency.cost(outstanding: 0, at: now + .seconds(10)) - 0.36788e9) < 1e5)
        latency.observe(.milliseconds(10), at: now)
        #expect(latency.cost(outstanding: 0, at: now) == 0.5e9)
        for _ in 0..<10 { latency.observe(.milliseconds(10), at: now) }
        #expect(latency.cost(outstanding: 1, at: now) == 20e6)
    }

    @Test("with two choices, most requests go to the fast ones, and the slow one is still tried")
    func spread() {
        var random = FastRandom(seed: 5)
        var latencies = [PeakEWMA](repeating: PeakEWMA(), count: 3)
        var busy: [(index: Int, until: Duration)] = []
        var counts = [0, 0, 0]
        for step in 0..<20_000 {
            let time = Duration.seconds(100) + .milliseconds(step * 5)
            for done in busy where done.until <= time {
                latencies[done.index].observe(.milliseconds(done.index == 2 ? 400 : 20), at: .at(done.until))
            }
            busy.removeAll { $0.until <= time }
            let index = LeastRequest.pick(of: 3, using: &random) { index in
                latencies[index].cost(outstanding: busy.count { $0.index == index }, at: .at(time))
            }
            guard let index else { continue }
            counts[index] += 1
            busy.append((index, time + .milliseconds(index == 2 ? 400 : 20)))
        }
        #expect(counts[2] > 2 && counts[2] < 1_500)
        #expect(abs(counts[0] - counts[1]) < 2_000)
    }
}
