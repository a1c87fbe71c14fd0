// SPDX-License-Identifier: Apache-2.0

import Common
import Proxy
import Testing

@Suite struct RoundRobinSpreadTests {
    @Test("gives every member exactly its share", arguments: [2, 3, 50])
    func exact(count: Int) {
        var turn = RoundRobin(startingAt: 17)
        #expect(tally(count, picks: count * 100) { turn.pick(of: count) } == Array(repeating: 100, count: count))
    }
}
