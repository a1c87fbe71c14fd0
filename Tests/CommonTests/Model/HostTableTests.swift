// SPDX-License-Identifier: Apache-2.0

import Common
import Testing

@Suite struct HostTableTests {
    private static let patterns = [
        "cart", "Cart.Shop", "*.shop", "*.eu.shop", "*-bar.foo.com", "*.foo.com", "one.foo.com", "www.*", "www.foo.*",
        "port:81", "*.port:81", "",
    ]

    private func find(_ host: String, in patterns: [String]) -> String? {
        HostTable(patterns.map { ($0, $0) }).value(for: Array(host.utf8).rawSpan)
    }

    @Test(
        "an exact name comes first, then the longest beginning that is open, then the longest end, then all",
        arguments: [
            ("cart", "cart"), ("CART", "cart"), ("cart.shop", "Cart.Shop"), ("a.shop", "*.shop"), (".shop", "*"),
            ("shop", "*"), ("a.eu.shop", "*.eu.shop"), ("a.b.EU.shop", "*.eu.shop"), (".eu.shop", "*.shop"),
            ("baz-bar.foo.com", "*-bar.foo.com"), ("-bar.foo.com", "*.foo.com"), ("one.foo.com", "one.foo.com"),
            ("www.foo.com", "*.foo.com"), ("www.foo.org", "www.foo.*"), ("www.fo.org", "www.*"), ("www.", "*"),
            ("port:81", "port:81"), ("port", "*"), ("port:8", "*"), ("a.port:81", "*.port:81"), ("", ""), ("x", "*"),
        ])
    func order(host: String, expected: String) {
        #expect(self.find(host, in: Self.patterns + ["*"]) == expected)
        #expect(self.find(host, in: ["*"] + Self.patterns.reversed()) == expected)
        if expected == "*" { #expect(self.find(host, in: Self.patterns) == nil) }
    }

    @Test("of two values for one pattern the first one counts, in whatever letter case it is written")
    func repeated() {
        let table = HostTable([
            ("a", 1), ("A", 2), ("*.b", 3), ("*.B", 4), ("c*", 5), ("C*", 6), ("*", 7), ("*", 8), ("d", 9),
        ])
        let found = ["a", "x.b", "cx", "z", "d"].map { table.value(for: Array($0.utf8).rawSpan) }
        #expect(found == [1, 3, 5, 7, 9])
        #expect(table.count == 5)
    }

    @Test("an empty table finds nothing")
    func empty() {
        #expect(HostTable<Int>().isEmpty)
        #expect(HostTable<Int>().value(for: Array("x".utf8).rawSpan) == nil)
    }

    @Test("holds many names and patterns, and finds what a search one by one finds")
    func many() {
        let patterns = (0..<1000).flatMap { ["s\($0).mesh", "*.s\($0 / 3).mesh", "w\($0).*"] }
        let table = HostTable(patterns.map { ($0, $0) })
        for number in 0..<1000 {
            let hosts = [
                ("S\(number).mesh", "s\(number).mesh"), ("v1.s\(number / 3).mesh", "*.s\(number / 3).mesh"),
                ("w\(number).org", "w\(number).*"),
            ]
            for (host, expected) in hosts { #expect(table.value(for: Array(host.utf8).rawSpan) == expected) }
            #expect(table.value(for: Array("x\(number).org".utf8).rawSpan) == nil)
        }
    }
}
