// SPDX-License-Identifier: Apache-2.0
// request path

import Synchronization

/// How long requests took, counted by upper bounds; one event loop writes it, anybody reads.
///
/// Cost: a comparison for each bound below, and one load and store.
package final class LatencyHistogram: Sendable {
    /// The upper bounds, in nanoseconds; the last bucket has none.
    package static let bounds: [Int] = [
        250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000, 25_000_000, 50_000_000, 100_000_000, 250_000_000,
        500_000_000, 1_000_000_000, 2_500_000_000, 5_000_000_000, 10_000_000_000,
    ]
    /// How many buckets there are.
    package static let count = 16

    private let buckets = InlineArray<16, Atomic<Int>> { _ in Atomic(0) }
    private let sum = Counter()

    /// Empty.
    package init() {}

    /// Counts a request.
    @inline(__always)
    package func record(_ nanoseconds: Int) {
        let bucket = Self.bucket(nanoseconds)
        let count = self.buckets[bucket].load(ordering: .relaxed)
        self.buckets[bucket].store(count &+ 1, ordering: .relaxed)
        self.sum.add(nanoseconds)
    }

    /// Computed, not a look at ``bounds``, which is a lazy global.
    @inline(__always)
    private static func bucket(_ nanoseconds: Int) -> Int {
        if nanoseconds <= 5_000_000 {
            if nanoseconds <= 250_000 { return 0 }
            if nanoseconds <= 500_000 { return 1 }
            if nanoseconds <= 1_000_000 { return 2 }
            return nanoseconds <= 2_500_000 ? 3 : 4
        }
        if nanoseconds <= 100_000_000 {
            if nanoseconds <= 10_000_000 { return 5 }
            if nanoseconds <= 25_000_000 { return 6 }
            return nanoseconds <= 50_000_000 ? 7 : 8
        }
        if nanoseconds <= 250_000_000 { return 9 }
        if nanoseconds <= 500_000_000 { return 10 }
        if nanoseconds <= 1_000_000_000 { return 11 }
        if nanoseconds <= 2_500_000_000 { return 12 }
        if nanoseconds <= 5_000_000_000 { return 13 }
        return nanoseconds <= 10_000_000_000 ? 14 : 15
    }

    /// How long all requests took together, in nanoseconds.
    package var total: Int { self.sum.current }

    /// Adds the counts to `totals`, which has ``count`` places.
    package func add(to totals: inout [Int]) {
        for index in 0..<Self.count { totals[index] &+= self.buckets[index].load(ordering: .relaxed) }
    }

    /// The time that a share of the requests did not exceed, interpolated within its bucket; in seconds.
    ///
    /// - Parameter counts: Requests in each bucket, such as a difference of two readings.
    /// - Parameter share: 0…1.
    /// - Returns: `nil` when there were no requests.
    package static func quantile(_ share: Double, of counts: [Int]) -> Double? {
        let total = counts.reduce(0, +)
        guard total > 0 else { return nil }
        let rank = share * Double(total)
        var below = 0
        for (index, count) in counts.enumerated() where count > 0 {
            if Double(below + count) >= rank {
                let lower = index == 0 ? 0 : Double(Self.bounds[index - 1])
                // Of those beyond the last bound no more is known.
                guard index < Self.bounds.count else { return lower / 1e9 }
                let part = max(0, (rank - Double(below)) / Double(count))
                return (lower + (Double(Self.bounds[index]) - lower) * part) / 1e9
            }
            below += count
        }
        return Double(Self.bounds[Self.bounds.count - 1]) / 1e9
    }
}
