// SPDX-License-Identifier: Apache-2.0

/// A called service as the request path knows it, with counts since the start.
package struct ServiceInspection: Sendable {
    /// A route rule and how often each of its targets was chosen.
    package struct Route: Sendable {
        /// See ``Route/precedence``.
        package let precedence: Int
        /// Which requests it is for, in words.
        package let match: String
        /// What instances each target asks for, its weight, and its requests.
        package let targets: [(tags: [String: String], weight: Int, hits: Int)]

        /// A rule.
        package init(
            precedence: Int, match: String, targets: [(tags: [String: String], weight: Int, hits: Int)]
        ) {
            self.precedence = precedence
            self.match = match
            self.targets = targets
        }
    }

    /// The service's name.
    package let name: String
    /// Its circuit; `nil` when it was never called.
    package let breaker: TrafficDocument.Breaker?
    /// Its instances.
    package let instances: [TrafficDocument.Instance]
    /// Its rules, in the order in which they are tried.
    package let routes: [Route]

    /// A service.
    package init(
        name: String, breaker: TrafficDocument.Breaker?, instances: [TrafficDocument.Instance], routes: [Route]
    ) {
        self.name = name
        self.breaker = breaker
        self.instances = instances
        self.routes = routes
    }
}
