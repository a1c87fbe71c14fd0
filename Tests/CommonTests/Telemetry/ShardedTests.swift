// SPDX-License-Identifier: Apache-2.0

import Common
import Testing

@Suite struct ShardedTests {
    @Test("each loop has one, made when it asks first")
    func shards() {
        let made = Counter()
        let sharded = Sharded { () -> Counter in
            made.add()
            return Counter()
        }
        #expect(sharded.all.isEmpty && made.current == 0)
        sharded.shard(of: 0).add(1)
        sharded.shard(of: 3).add(2)
        sharded.shard(of: 0).add(4)
        #expect(made.current == 2)
        #expect(sharded.shard(of: 0).current == 5 && sharded.shard(of: 3).current == 2)
        #expect(sharded.all.map(\.current).sorted() == [2, 5])
    }

    @Test("loops that ask at once get one each, and none is lost")
    func concurrent() async {
        let sharded = Sharded { Counter() }
        await withTaskGroup(of: Void.self) { group in
            for loop in 0..<64 { group.addTask { sharded.shard(of: loop % 8).addShared() } }
        }
        #expect(sharded.all.map(\.current) == [Int](repeating: 8, count: 8))
    }
}

@Suite struct TraceContextTests {
    @Test("ids are written in 32 and 16 digits")
    func digits() {
        let trace = TraceContext(traceHigh: 0x0123_4567_89ab_cdef, traceLow: 1, span: 2, isSampled: true)
        #expect(trace.traceID == "0123456789abcdef0000000000000001")
        #expect(TraceContext.hex(0xfedc_ba98_7654_3210) == "fedcba9876543210")
        #expect(TraceContext.hex(0) == "0000000000000000")
    }
}
