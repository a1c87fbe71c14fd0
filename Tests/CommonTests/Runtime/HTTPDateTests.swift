// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Common

@Suite struct HTTPDateTests {
    @Test(
        "dates as RFC 9110 has them",
        arguments: [
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777), ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Thu, 29 Feb 2024 23:59:59 GMT", 1_709_251_199), ("Fri, 01 Mar 2024 00:00:00 GMT", 1_709_251_200),
            ("Wed, 31 Dec 2025 12:00:00 GMT", 1_767_182_400),
        ])
    func dates(_ text: String, _ seconds: Int) { #expect(HTTPDate.seconds(text) == seconds) }

    @Test(
        "everything else is no date",
        arguments: [
            "", "Sun, 06 Nov 1994", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
            "Sun, 6 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 24:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 08:49:37 GMT ", "Sun, +6 Nov 1994 08:49:37 GMT", "Sun, 32 Nov 1994 08:49:37 GMT",
            "Xyz, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 99999 08:49:37 GMT",
        ])
    func nonsense(_ text: String) { #expect(HTTPDate.seconds(text) == nil) }
}
