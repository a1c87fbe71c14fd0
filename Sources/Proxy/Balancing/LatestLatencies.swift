// SPDX-License-Identifier: Apache-2.0
// request path

import NIOCore

/// The last ten latencies of one member, in microseconds.
package struct LatestLatencies: Sendable {
    private var latencies = InlineArray<10, UInt32>(repeating: 0)
    private var used = 0
    private var next = 0

    /// Nothing measured.
    package init() {}

    /// Takes in how long one answer took.
    package mutating func add(_ latency: Duration) {
        self.latencies[self.next] = UInt32(clamping: TimeAmount(latency).nanoseconds / 1_000)
        self.next = (self.next + 1) % self.latencies.count
        self.used = min(self.used + 1, self.latencies.count)
    }

    /// Takes in a request that has failed after `time`.
    package mutating func addFailure(after time: Duration) {
        let usual = (self.mean ?? 0) * 1e3
        let failed = FailurePenalty.of(Double(TimeAmount(time).nanoseconds), usual: usual)
        self.add(.nanoseconds(Int64(min(failed, 1e18))))
    }

    /// In microseconds; `nil` when nothing is known.
    package var mean: Double? {
        guard self.used > 0 else { return nil }
        var sum: UInt64 = 0
        for index in 0..<self.used { sum &+= UInt64(self.latencies[index]) }
        return Double(sum) / Double(self.used)
    }
}
