// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Common

/// Which matches ask for less than others.
@Suite struct RouteShapeTests {
    private func shape(_ yaml: String) throws -> RouteShape { RouteShape(try ConfigTree(yaml: yaml, source: "f")) }

    @Test(
        "a match covers one that asks for the same or more",
        arguments: [
            ("{}", "{path: {exact: /a}}"),
            ("{path: {prefix: /}}", "{}"),
            ("{path: {below: /}}", "{methods: [GET]}"),
            ("{path: {regex: .*}}", "{path: {regex: '/a[0-9]'}}"),
            ("{path: {prefix: /a}}", "{path: {prefix: /ab}}"),
            ("{path: {prefix: /a}}", "{path: {below: /a}}"),
            ("{path: {below: /a/}}", "{path: {exact: /a}}"),
            ("{path: {below: /a}}", "{path: {prefix: /a/b}}"),
            ("{path: {regex: '/a+'}}", "{path: {regex: '/a+'}, methods: [GET]}"),
            ("{methods: [GET, PUT]}", "{methods: [PUT]}"),
            ("{headers: {X-A: {exact: b}}}", "{headers: {x-a: {exact: b}, x-c: {exact: d}}}"),
            ("{headers: {x: {exact: b}}}", "{httpHeaders: {x: {exact: b}}, source: web}"),
            ("{queries: {a: {exact: b}}}", "{queries: {a: {exact: b}}}"),
            ("{source: ''}", "{source: web}"),
        ])
    func covers(wide: String, narrow: String) throws {
        #expect(try self.shape(wide).covers(self.shape(narrow)))
    }

    @Test(
        "and no other one",
        arguments: [
            ("{path: {exact: /a}}", "{}"),
            ("{path: {exact: /a}}", "{path: {exact: /b}}"),
            ("{path: {exact: /a}}", "{path: {prefix: /a}}"),
            ("{path: {below: /a}}", "{path: {exact: /ab}}"),
            ("{path: {below: /a}}", "{path: {prefix: /a}}"),
            ("{path: {prefix: /a}}", "{path: {regex: /a}}"),
            ("{path: {regex: '/a+'}}", "{path: {exact: /a}}"),
            ("{methods: [GET]}", "{methods: [GET, PUT]}"),
            ("{methods: [GET]}", "{}"),
            ("{headers: {x: {exact: b}}}", "{headers: {x: {prefix: b}}}"),
            ("{headers: {x: {exact: b}}}", "{headers: {y: {exact: b}}}"),
            ("{queries: {a: {exact: b}}}", "{headers: {a: {exact: b}}}"),
            ("{source: web}", "{source: shop}"),
        ])
    func doesNotCover(wide: String, narrow: String) throws {
        #expect(try !self.shape(wide).covers(self.shape(narrow)))
    }

    @Test("of very many routes those are found that are equal, and those behind one that takes all")
    func many() throws {
        let location = ConfigLocation("f")
        var elements = try (0..<2000).map { index in
            RouteOrder.Element(
                shape: try self.shape("{path: {exact: /\(index % 1999)}}"), location: location, route: index,
                precedence: 0)
        }
        elements.append(.init(shape: RouteShape(), location: location, route: 2000, precedence: 0))
        elements.append(
            .init(shape: try self.shape("{methods: [GET]}"), location: location, route: 2001, precedence: 0))
        let found = RouteOrder.unreached(elements)
        #expect(found.map(\.element.route) == [1999, 2001])
        #expect(found.map(\.by.route) == [0, 2000])
    }
}
