// SPDX-License-Identifier: Apache-2.0

/// The route rules of all services at one moment.
///
/// Whoever has rules, ServiceComb's files and servers or Istio, publishes them in this form; the request path knows no
/// other. Everything that can be prepared is: expressions are compiled, rules are in the order in which they are tried,
/// and the instances that targets ask for are numbered, so that an event loop keeps their endpoints in an array.
package struct RouteTable: Sendable {
    /// By the name of the called service.
    package private(set) var services: [String: ServiceRoutes]

    /// A table.
    package init(_ services: [String: ServiceRoutes] = [:]) { self.services = services }

    /// The rules for calls of a service; `nil` when there are none.
    package subscript(service: String) -> ServiceRoutes? { self.services[service] }
}

/// The route rules for calls of one service.
package final class ServiceRoutes: Sendable {
    /// In the order in which they are tried; the first that matches decides.
    package let rules: [RouteRule]
    /// The different tags of all targets: ``RouteTarget/subset`` is an index into these.
    package let subsets: [InstanceTags]
    /// The rules as they were written, without places: equal for rules that say the same.
    package let plain: String
    /// Counts the requests of each target of each rule.
    package let hits: Sharded<[[Counter]]>

    /// Rules in any order: a higher precedence is tried first, among equals the one that stands first.
    ///
    /// - Parameter rules: The tags of each target are given in place of their index.
    package init(_ rules: [(rule: RouteRule, tags: [InstanceTags])], plain: String) {
        var subsets: [InstanceTags] = []
        var numbered: [RouteRule] = []
        for (rule, tags) in rules {
            var rule = rule
            for index in rule.targets.indices {
                if let known = subsets.firstIndex(of: tags[index]) {
                    rule.targets[index].subset = known
                } else {
                    rule.targets[index].subset = subsets.count
                    subsets.append(tags[index])
                }
            }
            numbered.append(rule)
        }
        self.rules = numbered.enumerated()
            .sorted { ($1.element.precedence, $0.offset) < ($0.element.precedence, $1.offset) }.map(\.element)
        self.subsets = subsets
        self.plain = plain
        let counts = self.rules.map(\.targets.count)
        self.hits = Sharded { counts.map { count in (0..<count).map { _ in Counter() } } }
    }
}

/// One route rule: which requests, and where they go.
package struct RouteRule: Sendable {
    /// Which requests a rule is for.
    package enum Match: Sendable {
        /// All.
        case always
        /// Those that are described.
        case request(RequestMatch)
        /// Those that carry a mark, or would be given it.
        case marked(MatchPolicy)
        /// None: the rule refers to something that does not exist.
        case never
    }

    /// Higher ones are tried first.
    package let precedence: Int
    /// Which requests.
    package let match: Match
    /// The name of the template or policy that the rule refers to.
    package let reference: String?
    /// Where they go, by weight; never empty.
    package internal(set) var targets: [RouteTarget]
    /// Where the rule is written.
    package let location: ConfigLocation

    /// A rule.
    package init(
        precedence: Int, match: Match, reference: String? = nil, weights: [Int], at location: ConfigLocation
    ) {
        self.precedence = precedence
        self.match = match
        self.reference = reference
        self.targets = weights.map { RouteTarget(weight: $0, subset: 0) }
        self.location = location
    }
}

/// A share of the requests that a rule is for.
package struct RouteTarget: Sendable, Equatable {
    /// Its part of the sum of the weights of all targets.
    package let weight: Int
    /// Index into ``ServiceRoutes/subsets``.
    package internal(set) var subset: Int
}

/// What instances must be to get a request: metadata by name.
package struct InstanceTags: Sendable, Hashable {
    /// A version, or `latest` for the newest that an instance can be had of.
    package let version: String
    /// An application; `nil` for the caller's own.
    package let app: String?
    /// Other properties.
    package let properties: [String: String]

    /// Tags.
    package init(version: String = "latest", app: String? = nil, properties: [String: String] = [:]) {
        self.version = version
        self.app = app
        self.properties = properties
    }
}
