// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import TLS

/// Whose certificate is whose.
@Suite struct SubjectNameTests {
    @Test(
        "names of certificates and names that are wanted",
        arguments: [
            ("cart", "cart", true), ("CART", "cart", true), ("cart", "Cart", true), ("cart2", "cart", false),
            ("", "cart", false), ("cart\0.evil", "cart", false), ("*.shop.local", "cart.shop.local", true),
            ("*.shop.local", "a.cart.shop.local", false), ("*.shop.local", "shop.local", false),
            ("c*.shop.local", "cart.shop.local", false), ("*", "cart", false), ("*.local", "cart.local", false),
            ("cart.*.local", "cart.shop.local", false), ("*.*.local", "a.b.local", false),
            ("spiffe://mesh/cart", "spiffe://mesh/cart", false),
        ])
    func dns(presented: String, wanted: String, matches: Bool) {
        #expect(SubjectName.matches([.dns(Array(presented.utf8))], anyOf: [wanted]) == matches)
    }

    @Test("URIs are compared octet by octet, and with URIs only")
    func uris() {
        let presented: [SubjectName.Presented] = [.dns(Array("x".utf8)), .uri(Array("spiffe://mesh/cart".utf8))]
        #expect(SubjectName.matches(presented, anyOf: ["spiffe://mesh/cart"]))
        #expect(SubjectName.matches(presented, anyOf: ["spiffe://mesh/other", "x"]))
        #expect(!SubjectName.matches(presented, anyOf: ["spiffe://mesh/Cart"]))
        #expect(!SubjectName.matches([.uri(Array("cart".utf8))], anyOf: ["cart"]))
        #expect(!SubjectName.matches([], anyOf: ["cart"]))
    }
}
