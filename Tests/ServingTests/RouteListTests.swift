// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import Testing

@testable import Serving

@Suite struct RouteListTests {
    /// What a request meets, in words.
    private func find(_ method: HTTPRequest.Method, _ path: String, answersHead: Bool = true) -> String {
        var routes = RouteList<String>(answersHead: answersHead)
        routes.add(.get, "/a", "read")
        routes.add(.put, "/a", "write")
        routes.add(.get, "/{name}", "any")
        routes.add(.get, "/b", "never")
        switch routes.find(method, path) {
        case .target(let target, let parameters): return "\(target) \(parameters["name"] ?? "-")"
        case .otherMethods(let others): return others.map(\.rawValue).joined(separator: " ")
        case .nothing: return "nothing"
        }
    }

    @Test(
        "the first route of method and path answers; GET is HEAD as well where that is wanted",
        arguments: [
            (HTTPRequest.Method.get, "/a", "read -", "read -"), (.put, "/a", "write -", "write -"),
            (.get, "/b", "any b", "any b"), (.head, "/b", "any b", "GET"), (.head, "/a", "read -", "GET PUT"),
            (.delete, "/a", "GET HEAD PUT", "GET PUT"), (.put, "/b", "GET HEAD", "GET"),
            (.get, "/a/b", "nothing", "nothing"), (.put, "/", "nothing", "nothing"),
        ])
    func found(method: HTTPRequest.Method, path: String, withHead: String, withoutHead: String) {
        #expect(self.find(method, path) == withHead)
        #expect(self.find(method, path, answersHead: false) == withoutHead)
    }
}
