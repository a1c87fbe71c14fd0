// SPDX-License-Identifier: Apache-2.0

import Common
import NIOCore
import Proxy
import Testing

@Suite struct TokenBucketTests {
    @Test(
        "holds a fifth of the rate, or ten, or what it is told",
        arguments: [
            (20, nil, 4), (100, nil, 20), (5, nil, 1), (9, nil, 1), (4, nil, 10), (1, nil, 10), (20, 5, 5), (20, 1, 1),
            (20, 0, 1), (20, -3, 1), (0, nil, 0), (-1, 7, 0), (Int.max, nil, Int.max / 5), (1, Int.max, nil),
        ] as [(Int, Int?, Int?)])
    func capacity(rate: Int, burst: Int?, expected: Int?) {
        let bucket = TokenBucket(rate: rate, burst: burst)
        let available = bucket.available(at: .at(.seconds(1)), arrival: 0)
        if let expected, expected < 1_000_000_000 {
            #expect(available == expected)
        } else {
            #expect(available > 1 << 31)
        }
        var arrival: Int64 = 0
        var admitted = 0
        while admitted < 1_000, bucket.admit(at: .at(.seconds(1)), arrival: &arrival) == .admitted { admitted += 1 }
        #expect(admitted == min(1_000, expected ?? 1_000))
        #expect(expected.map { $0 >= 1_000 } ?? true || bucket.available(at: .at(.seconds(1)), arrival: arrival) == 0)
    }

    @Test("admits the rate exactly, whatever the spacing of the requests", arguments: [1, 7, 20, 333, 1_000, 12_345])
    func exact(rate: Int) {
        let bucket = TokenBucket(rate: rate, burst: 3)
        for step in [Int64(37_777), 999_983, 1_000_003] {
            var (arrival, admitted) = (Int64(0), 0)
            var now: Int64 = 5_000_000_000
            while now < 15_000_000_000 {
                if bucket.admit(at: .uptimeNanoseconds(UInt64(now)), arrival: &arrival) == .admitted { admitted += 1 }
                now += step
            }
            let possible = Int(10_000_000_000 / step)
            // A bucket of 3 tokens loses some when the requests are rarer than the tokens, which is not the point here.
            if possible > 2 * rate * 10 { #expect(abs(admitted - (rate * 10 + 3)) <= 1) }
            #expect(admitted <= rate * 10 + 3)
        }
    }

    @Test("tells when the next token comes")
    func retryAfter() {
        let bucket = TokenBucket(rate: 4, burst: 2)
        var arrival: Int64 = 0
        #expect(bucket.admit(at: .at(.seconds(1)), arrival: &arrival) == .admitted)
        #expect(bucket.admit(at: .at(.seconds(1)), arrival: &arrival) == .admitted)
        #expect(bucket.admit(at: .at(.seconds(1)), arrival: &arrival) == .refused(retryAfter: .milliseconds(250)))
        #expect(
            bucket.admit(at: .at(.milliseconds(1_200)), arrival: &arrival) == .refused(retryAfter: .milliseconds(50)))
        #expect(bucket.admit(at: .at(.milliseconds(1_250)), arrival: &arrival) == .admitted)
        #expect(TokenBucket(rate: 0).admit(at: .at(.seconds(1)), arrival: &arrival) == .refused(retryAfter: nil))
    }

    @Test("works until the end of time")
    func extremes() {
        let bucket = TokenBucket(rate: 1, burst: .max)
        var arrival: Int64 = 0
        #expect(bucket.admit(at: .distantFuture, arrival: &arrival) == .admitted)
        #expect(bucket.admit(at: .distantFuture, arrival: &arrival) == .admitted)
        #expect(bucket.admit(at: .uptimeNanoseconds(0), arrival: &arrival) != .admitted)
    }
}
