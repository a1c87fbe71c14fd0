// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import Proxy

extension NIODeadline {
    /// So long after the start of the machine.
    static func at(_ time: Duration) -> NIODeadline { .uptimeNanoseconds(0) + TimeAmount(time) }
}

/// How often each of `count` members was picked in `picks` picks.
func tally(_ count: Int, picks: Int, _ pick: () -> Int?) -> [Int] {
    var tally = [Int](repeating: 0, count: count)
    for _ in 0..<picks { if let index = pick() { tally[index] += 1 } }
    return tally
}

extension CircuitBreaker.Report {
    /// All of it, to compare.
    var text: String {
        let trial = self.untilTrial.map { "\($0)" } ?? "nil"
        return "\(self.state), \(self.errors) of \(self.requests), \(self.errorPercentage) %, trial in \(trial)"
    }
}
