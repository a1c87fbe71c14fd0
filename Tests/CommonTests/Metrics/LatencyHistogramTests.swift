// SPDX-License-Identifier: Apache-2.0

import Common
import Testing

@Suite struct LatencyHistogramTests {
    private func counts(_ histogram: LatencyHistogram) -> [Int] {
        var counts = [Int](repeating: 0, count: LatencyHistogram.count)
        histogram.add(to: &counts)
        return counts
    }

    /// Requests in the buckets that are named.
    private static func counts(_ buckets: [Int: Int]) -> [Int] {
        (0..<LatencyHistogram.count).map { buckets[$0] ?? 0 }
    }

    private static let bounds = [
        250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000, 25_000_000, 50_000_000, 100_000_000, 250_000_000,
        500_000_000, 1_000_000_000, 2_500_000_000, 5_000_000_000, 10_000_000_000,
    ]

    @Test("the bounds are those of the documentation, and one bucket more has none")
    func table() {
        #expect(LatencyHistogram.bounds == Self.bounds)
        #expect(LatencyHistogram.count == Self.bounds.count + 1)
    }

    @Test("a bound belongs to its bucket, and what is above it to the next", arguments: zip(bounds, 0...14))
    func buckets(bound: Int, bucket: Int) {
        let histogram = LatencyHistogram()
        histogram.record(bound)
        #expect(self.counts(histogram) == Self.counts([bucket: 1]))
        histogram.record(bound + 1)
        #expect(self.counts(histogram) == Self.counts([bucket: 1, bucket + 1: 1]))
    }

    @Test("no time is too short or too long, and all of them are summed up")
    func extremes() {
        let histogram = LatencyHistogram()
        for nanoseconds in [0, -5, 1, 3_600_000_000_000] { histogram.record(nanoseconds) }
        #expect(self.counts(histogram) == Self.counts([0: 3, 15: 1]))
        #expect(histogram.total == 3_599_999_999_996)
    }

    @Test("counts are added to what is there")
    func adds() {
        let histogram = LatencyHistogram()
        histogram.record(1)
        var totals = Self.counts([0: 5, 3: 1])
        histogram.add(to: &totals)
        #expect(totals == Self.counts([0: 6, 3: 1]))
    }

    @Test(
        "quantiles, in milliseconds",
        arguments: [
            // One request: somewhere in its bucket.
            ([0: 1], 0.5, 0.125), ([0: 1], 1, 0.25), ([4: 1], 0.5, 3.75),
            // Ten in one bucket, 0.5 ms to 1 ms, are spread over it.
            ([2: 10], 0, 0.5), ([2: 10], 0.1, 0.55), ([2: 10], 0.5, 0.75), ([2: 10], 1, 1),
            // The ninth of ten ends the first bucket; of the tenth only the lower bound is known.
            ([0: 9, 15: 1], 0.9, 0.25), ([0: 9, 15: 1], 0.99, 10_000), ([15: 4], 0.5, 10_000),
            // Half up to 2.5 ms, half between 100 ms and 250 ms; empty buckets between are passed over.
            ([3: 50, 9: 50], 0.25, 1.75), ([3: 50, 9: 50], 0.5, 2.5), ([3: 50, 9: 50], 0.75, 175),
            ([3: 50, 9: 50], 0.99, 247), ([3: 50, 9: 50], 1, 250),
        ] as [([Int: Int], Double, Double)])
    func quantiles(buckets: [Int: Int], share: Double, milliseconds: Double) throws {
        let seconds = try #require(LatencyHistogram.quantile(share, of: Self.counts(buckets)))
        #expect(abs(seconds * 1000 - milliseconds) < 1e-6)
    }

    @Test("without requests there is no quantile", arguments: [0, 0.5, 1])
    func empty(share: Double) {
        #expect(LatencyHistogram.quantile(share, of: Self.counts([:])) == nil)
        #expect(LatencyHistogram.quantile(share, of: []) == nil)
    }
}
