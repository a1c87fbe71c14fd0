// SPDX-License-Identifier: Apache-2.0
// request path

package import NIOCore

/// Counts of two kinds over the last ten seconds, in buckets of one second.
///
/// Of the current second and the nine before it. A few additions per event, and no allocation.
package struct RollingWindow: Sendable {
    private struct Bucket {
        var requests: UInt32 = 0
        var marks: UInt32 = 0
    }

    /// How far back the counts reach, in seconds.
    package static let seconds = 10

    private var buckets = InlineArray<10, Bucket>(repeating: Bucket())
    private var newest = 0
    /// How many requests there were.
    package private(set) var requests = 0
    /// How many there were of what the owner counts beside them: errors, retries.
    package private(set) var marks = 0

    /// Nothing counted.
    package init() {}

    /// Counts, and forgets what is too old.
    ///
    /// - Parameter now: One that is earlier than the last, by the clock of another event loop, counts as the last.
    @inline(__always)
    package mutating func add(requests: UInt32 = 0, marks: UInt32 = 0, at now: NIODeadline) {
        self.advance(to: now)
        let slot = self.newest % Self.seconds
        self.buckets[slot].requests &+= requests
        self.buckets[slot].marks &+= marks
        self.requests &+= Int(requests)
        self.marks &+= Int(marks)
    }

    /// Forgets what is too old at `now`.
    @inline(__always)
    package mutating func advance(to now: NIODeadline) {
        let second = Int(now.uptimeNanoseconds / 1_000_000_000)
        if second > self.newest { self.forget(until: second) }
    }

    /// From here on ``advance(to:)`` may forget something.
    package var end: NIODeadline { .uptimeNanoseconds(UInt64(self.newest &+ 1) &* 1_000_000_000) }

    private mutating func forget(until second: Int) {
        for back in 0..<min(second &- self.newest, Self.seconds) {
            let slot = (second &- back) % Self.seconds
            self.requests &-= Int(self.buckets[slot].requests)
            self.marks &-= Int(self.buckets[slot].marks)
            self.buckets[slot] = Bucket()
        }
        self.newest = second
    }
}
