// SPDX-License-Identifier: Apache-2.0

package import HTTPTypes

/// What answers, by method and path.
package struct RouteList<Target: Sendable>: Sendable {
    /// What a request meets.
    package enum Found {
        /// What answers it, and what stands for the names in its path.
        case target(Target, [String: String])
        /// The path has other methods only, each once.
        case otherMethods([HTTPRequest.Method])
        /// There is no such path.
        case nothing
    }

    private struct Route: Sendable {
        let method: HTTPRequest.Method
        let pattern: PathPattern
        let target: Target
    }

    private let answersHead: Bool
    private var routes: [Route] = []

    /// - Parameter answersHead: Whether what answers GET answers HEAD too.
    package init(answersHead: Bool) { self.answersHead = answersHead }

    /// Adds what answers `method` on paths of `pattern`; of two that match, the one that was added first does.
    package mutating func add(_ method: HTTPRequest.Method, _ pattern: String, _ target: Target) {
        self.routes.append(Route(method: method, pattern: PathPattern(pattern), target: target))
    }

    /// What answers a request for `path`, which is without its query.
    package func find(_ method: HTTPRequest.Method, _ path: String) -> Found {
        let segments = PathPattern.segments(of: path)
        var others: [HTTPRequest.Method] = []
        for route in self.routes {
            guard let parameters = route.pattern.parameters(of: segments) else { continue }
            let methods = self.answersHead && route.method == .get ? [.get, .head] : [route.method]
            if methods.contains(method) { return .target(route.target, parameters) }
            for other in methods where !others.contains(other) { others.append(other) }
        }
        return others.isEmpty ? .nothing : .otherMethods(others)
    }
}
