// SPDX-License-Identifier: Apache-2.0
// request path

import Common

/// The field `Date`, made once a second and used for every answer of that second.
///
/// Pure: the time is a parameter. A value for each event loop, which nobody else reads.
///
/// - Source: RFC 9110 §6.6.1 and §5.6.7.
package struct HTTPDate {
    /// `Date: Sun, 06 Nov 1994 08:49:37 GMT` and CRLF, of the second that was asked for last.
    private var newest: HeaderLine
    private var second: Int64

    /// That of the beginning of 1970, which nobody asks for.
    package init() {
        self.newest = Self.make(0)
        self.second = 0
    }

    /// The field for a second of the wall clock.
    ///
    /// Cost: a comparison; some divisions and an array where the second is another than last time.
    ///
    /// - Parameter second: Since 1970, in UTC.
    @inline(__always)
    package mutating func line(at second: Int64) -> HeaderLine {
        if second != self.second {
            self.newest = Self.make(second)
            self.second = second
        }
        return self.newest
    }

    @inline(never)
    private static func make(_ second: Int64) -> HeaderLine {
        HeaderLine(name: "Date", value: Self.text(second), known: .date)
    }

    /// The 29 bytes of a moment, such as `Sun, 06 Nov 1994 08:49:37 GMT`.
    ///
    /// Years before 1970 or beyond 9999 have no such form: the nearest moment that has is taken for them.
    ///
    /// - Source: Howard Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`.
    static func text(_ second: Int64) -> [UInt8] {
        let second = min(max(second, 0), 253_402_300_799)
        let days = second / 86_400
        let time = second % 86_400
        // Years begin in March here, so that leap days are last.
        let shifted = days + 719_468
        let dayOfEra = shifted % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let month = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * month + 2) / 5 + 1
        let year = yearOfEra + shifted / 146_097 * 400 + (month >= 10 ? 1 : 0)

        var text: [UInt8] = []
        text.reserveCapacity(29)
        // The first of January 1970 was a Thursday.
        Self.append("ThuFriSatSunMonTueWed", Int(days % 7) * 3, to: &text)
        text.append(.comma)
        text.append(.space)
        Self.append(day, to: &text)
        text.append(.space)
        Self.append("MarAprMayJunJulAugSepOctNovDecJanFeb", Int(month) * 3, to: &text)
        text.append(.space)
        Self.append(year / 100, to: &text)
        Self.append(year % 100, to: &text)
        text.append(.space)
        Self.append(time / 3600, to: &text)
        text.append(.colon)
        Self.append(time / 60 % 60, to: &text)
        text.append(.colon)
        Self.append(time % 60, to: &text)
        Self.append(" GMT", 0, count: 4, to: &text)
        return text
    }

    /// Two digits.
    private static func append(_ number: Int64, to text: inout [UInt8]) {
        text.append(UInt8(truncatingIfNeeded: 0x30 + number / 10))
        text.append(UInt8(truncatingIfNeeded: 0x30 + number % 10))
    }

    private static func append(_ names: StaticString, _ start: Int, count: Int = 3, to text: inout [UInt8]) {
        let bytes = unsafe RawSpan(_unsafeStart: names.utf8Start, byteCount: names.utf8CodeUnitCount)
        bytes.append(start..<start + count, to: &text)
    }
}
