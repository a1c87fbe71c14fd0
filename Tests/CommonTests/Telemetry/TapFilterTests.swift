// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Common

/// Which requests a tap shows, as people write it.
@Suite struct TapFilterTests {
    @Test(
        "statuses are taken by number and by class",
        arguments: [
            (nil, [100, 200, 404, 599], []), ("", [200, 503], []), ("404", [404], [400, 403, 405]),
            ("5xx", [500, 503, 599], [499, 200]), ("4XX,503", [400, 499, 503], [500, 399]),
        ] as [(String?, [Int], [Int])])
    func statuses(text: String?, taken: [Int], refused: [Int]) throws {
        let filter = try TapFilter(status: text)
        for status in taken { #expect(filter.takes(status: status), "\(status)") }
        for status in refused { #expect(!filter.takes(status: status), "\(status)") }
    }

    @Test(
        "what is no status is told by its name",
        arguments: ["x", "5x", "50", "5000", "600", "099", "xx5", "5x5", "+50", "-12", "5xx,oops", "٥٠٠"])
    func noStatus(text: String) {
        let error = #expect(throws: TapFilter.Mistake.self) { try TapFilter(status: text) }
        let wrong = text.split(separator: ",").last ?? ""
        #expect(error?.description.hasPrefix("\(wrong) is no status: write 404, 5xx") == true)
    }

    @Test("a path begins with a slash and has no query, which could be found out otherwise")
    func paths() throws {
        #expect(try TapFilter(path: "/a").path == Array("/a".utf8))
        #expect(try TapFilter(path: "").path.isEmpty)
        #expect(throws: TapFilter.Mistake.self) { try TapFilter(path: "a") }
        #expect(throws: TapFilter.Mistake.self) { try TapFilter(path: "/a?token=1") }
    }

    @Test("no service means all of them")
    func services() throws {
        #expect(try TapFilter(service: "").service == nil)
        #expect(try TapFilter(service: "cart").service == "cart")
    }
}
