// SPDX-License-Identifier: Apache-2.0

import Common
import Foundation
import Testing

@Suite struct WallTimeTests {
    private func text(_ milliseconds: Int64) -> String {
        var line: [UInt8] = []
        WallTime(milliseconds: milliseconds).append(to: &line)
        return String(decoding: line, as: UTF8.self)
    }

    @Test(
        "is written as RFC 3339 has it",
        arguments: [
            (0, "1970-01-01T00:00:00.000Z"), (-1, "1969-12-31T23:59:59.999Z"),
            (1_795_824_754_567, "2026-11-28T00:12:34.567Z"), (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"), (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"), (1_735_689_599_999, "2024-12-31T23:59:59.999Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        ] as [(Int64, String)])
    func format(milliseconds: Int64, expected: String) { #expect(self.text(milliseconds) == expected) }

    @Test("agrees with the C library over four centuries, and is the present")
    func agrees() {
        for day in stride(from: Int64(-11_000), through: 140_000, by: 29) {
            var seconds = time_t(day * 86_400 + 45_296)
            var parts = unsafe tm()
            unsafe gmtime_r(&seconds, &parts)
            let (year, month, day) = unsafe (parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday)
            let expected = String(format: "%04d-%02d-%02dT12:34:56.000Z", Int(year), Int(month), Int(day))
            guard self.text(Int64(seconds) * 1000) != expected else { continue }
            Issue.record("\(expected) is written \(self.text(Int64(seconds) * 1000))")
            return
        }
        #expect(abs(WallTime.now().milliseconds - Int64(Date().timeIntervalSince1970 * 1000)) < 5000)
    }
}
