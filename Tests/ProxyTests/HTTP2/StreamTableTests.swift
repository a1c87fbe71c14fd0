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

    @Test("holds what a dictionary would, whatever comes and goes")
    func asADictionary() {
        var table = StreamTable<Stream>()
        var expected: [UInt32: Stream] = [:]
        var random = FastRandom(seed: 7)
        var next: UInt32 = 1
        for _ in 0..<20_000 {
            if random.next() % 2 == 0 {
                // Clients may leave some out, so that others share a home.
                next += 2 * UInt32(random.next() % 24)
                if expected[next] == nil {
                    let stream = Stream()
                    table.insert(stream, next)
                    expected[next] = stream
                }
            } else if let id = expected.keys.min(by: { ($0 &* 2_654_435_761) < ($1 &* 2_654_435_761) }) {
                table.remove(id)
                expected[id] = nil
            }
            #expect(table.count == expected.count)
        }
        #expect(!expected.isEmpty && expected.allSatisfy { table[id: $0.key] === $0.value })
        for id in expected.keys { table.remove(id) }
        #expect(table.count == 0 && table.all.isEmpty)
    }
}
