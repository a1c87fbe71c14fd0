// SPDX-License-Identifier: Apache-2.0

import Common
import Testing

@testable import AdminAPI

/// Which services a document of traffic has.
@Suite struct TrafficDocumentTests {
    @Test("of very many services those that fail are there, and the busiest")
    func failing() throws {
        let support = try AdminSupport()
        for number in 0..<AdminState.mostServices + 50 {
            let counters = support.metrics.requestCounters(.service("s\(number)", app: "shop", version: "1"))
            for _ in 0..<(number == 7 ? 1 : 10 + number) {
                counters.record(status: number == 7 ? 503 : 200, nanoseconds: 1, isTimed: true)
            }
        }
        let names = support.state.document().services.map(\.name)
        #expect(names.count == AdminState.mostServices)
        #expect(names.last == "s7" && names.first == "s249" && !names.contains("s50") && names.contains("s51"))
    }
}
