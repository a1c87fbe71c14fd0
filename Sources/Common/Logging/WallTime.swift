// SPDX-License-Identifier: Apache-2.0

import Glibc

/// A moment of the wall clock, in UTC, to the millisecond.
///
/// For what people read, such as log lines; deadlines use `NIODeadline`.
package struct WallTime: Sendable, Hashable, Comparable {
    /// Milliseconds since 1970.
    package let milliseconds: Int64

    /// A moment.
    ///
    /// - Parameter milliseconds: Since 1970, in UTC.
    package init(milliseconds: Int64) { self.milliseconds = milliseconds }

    /// The present; a read of the clock without a system call.
    package static func now() -> Self {
        var time = timespec()
        unsafe clock_gettime(CLOCK_REALTIME, &time)
        return Self(milliseconds: Int64(time.tv_sec) &* 1000 &+ Int64(time.tv_nsec) / 1_000_000)
    }

    /// Which is earlier.
    package static func < (left: Self, right: Self) -> Bool { left.milliseconds < right.milliseconds }

    /// A later moment.
    package static func + (time: Self, duration: Duration) -> Self {
        let (seconds, attoseconds) = duration.components
        return Self(milliseconds: time.milliseconds + seconds * 1000 + attoseconds / 1_000_000_000_000_000)
    }

    /// Days since 1970 that have begun; each begins at midnight in UTC.
    var day: Int64 { Self.quotient(self.milliseconds, 86_400_000) }

    /// Whether `interval` has passed since this moment, or the clock was set back beyond it.
    func isOver(_ interval: Duration, at now: Self) -> Bool { now < self || self + interval <= now }

    private static func quotient(_ value: Int64, _ divisor: Int64) -> Int64 {
        value >= 0 ? value / divisor : (value &+ 1) / divisor &- 1
    }

    /// Year, month and day.
    ///
    /// Years begin in March here, so that leap days are last. Nothing is cached: this is a handful of multiplications,
    /// less than a look at what other threads share.
    ///
    /// - Source: Howard Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`.
    private var date: (year: Int64, month: Int64, day: Int64) {
        let days = self.day &+ 719_468
        let era = Self.quotient(days, 146_097)
        let dayOfEra = days &- era &* 146_097
        let yearOfEra = (dayOfEra &- dayOfEra / 1460 &+ dayOfEra / 36_524 &- dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra &- (365 &* yearOfEra &+ yearOfEra / 4 &- yearOfEra / 100)
        let shifted = (5 &* dayOfYear &+ 2) / 153
        let month = shifted < 10 ? shifted &+ 3 : shifted &- 9
        let year = yearOfEra &+ era &* 400 &+ (month <= 2 ? 1 : 0)
        return (year, month, dayOfYear &- (153 &* shifted &+ 2) / 5 &+ 1)
    }

    /// Appends `2026-11-28T00:12:34.567Z`: RFC 3339, 24 bytes.
    ///
    /// Years outside 0…9999 are written modulo 10,000.
    package func append(to line: inout [UInt8]) {
        let text = self.text(timeSeparator: .colon)
        line.append(unsafe text.span.bytes)  // unsafe for types with padding only
    }

    /// Appends `2026-11-28T00-12-34.567`, as names of files have it.
    func appendFileName(to line: inout [UInt8]) {
        let text = self.text(timeSeparator: UInt8(ascii: "-"))
        line.append(unsafe text.span.bytes.extracting(droppingLast: 1))
    }

    private func text(timeSeparator: UInt8) -> InlineArray<24, UInt8> {
        let (year, month, day) = self.date
        let time = self.milliseconds &- self.day &* 86_400_000
        // The letters and signs; digits come in between.
        var text = InlineArray<24, UInt8>(repeating: UInt8(ascii: "-"))
        text[10] = UInt8(ascii: "T")
        text[13] = timeSeparator
        text[16] = timeSeparator
        text[19] = .dot
        text[23] = UInt8(ascii: "Z")
        func write(_ value: Int64, _ index: Int) {
            let value = UInt8(truncatingIfNeeded: value.magnitude % 100)
            text[index] = value / 10 | 0x30
            text[index &+ 1] = value % 10 | 0x30
        }
        write(year / 100, 0)
        write(year, 2)
        write(month, 5)
        write(day, 8)
        write(time / 3_600_000, 11)
        write(time / 60_000 % 60, 14)
        write(time / 1000 % 60, 17)
        // Three digits: the first two, and then the last two over them.
        write(time % 1000 / 10, 20)
        write(time % 100, 21)
        return text
    }
}
