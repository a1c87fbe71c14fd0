// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Proxy

@Suite struct StreamTableTests {
    private final class Stream {}

    @Test("removing what is not there changes nothing, the identifier of no stream included")
    func removesNothing() {
        var table = StreamTable<Stream>()
        let stream = Stream()
        table.remove(0)
        table.remove(7)
        #expect(table.count == 0)
        table.insert(stream, 1)
        table.remove(0)
        table.remove(33)  // the same home
        #expect(table.count == 1)
        #expect(table[id: 1] === stream && table.all.count == 1)
        table.remove(1)
        table.remove(1)
        #expect(table.count == 0 && table[id: 1] == nil)
    }
}
