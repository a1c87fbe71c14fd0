// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Serving

@Suite struct PathPatternTests {
    @Test(
        "the parameters of a path",
        arguments: [
            ("/of/{service}", "/of/cart", ["service": "cart"]), ("/of/{service}", "/of/", nil),
            ("/of/{service}", "/of", nil), ("/of/{service}", "/of/cart/", nil), ("/of/{service}", "/of/a/b", nil),
            ("/of/{service}", "/OF/cart", nil), ("/of/{service}", "of/cart", nil),
            ("/of/{service}", "/of/a%2Fb%20c", ["service": "a/b c"]), ("/of/{service}", "/of/%C3%A4", ["service": "ä"]),
            ("/of/{service}", "/of/%zz", nil), ("/of/{service}", "/of/%ff", nil), ("/a", "/a", [:]),
            ("/a", "/%61", nil),
            ("/", "/", [:]), ("/", "", nil), ("/{a}/x/{b}", "/1/x/2", ["a": "1", "b": "2"]),
            ("/{a}/x/{b}", "/1/y/2", nil),
        ] as [(String, String, [String: String]?)])
    func parameters(pattern: String, path: String, expected: [String: String]?) {
        #expect(PathPattern(pattern).parameters(of: PathPattern.segments(of: path)) == expected)
    }
}
