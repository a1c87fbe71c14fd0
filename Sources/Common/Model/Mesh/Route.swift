// SPDX-License-Identifier: Apache-2.0

/// One route: which requests, and what becomes of them.
package struct Route: Sendable {
    /// Which requests a route is for.
    package enum Match: Sendable {
        /// All.
        case always
        /// Those that are described.
        case request(RequestMatch)
        /// Those that carry a mark, or would be given it.
        case marked(MatchPolicy)
        /// None: the route refers to something that does not exist.
        case never
    }

    /// Higher ones are tried first.
    package let precedence: Int
    /// Which requests.
    package let match: Match
    /// What people call it; `nil` where routes have no names.
    package let name: String?
    /// The name of the template or policy that the route refers to.
    package let reference: String?
    /// Where the requests go, by weight; empty when they are answered at once.
    package internal(set) var targets: [RouteTarget]
    /// Copies of the requests that other clusters get.
    package internal(set) var mirrors: [RouteMirror]
    /// What else is done to the requests; `nil` for most routes.
    package let action: RouteAction?
    /// Where the route is written.
    package let location: ConfigLocation

    /// A route.
    ///
    /// - Parameter targetActions: Those of the targets, in their order; none where all do as the route does.
    package init(
        precedence: Int = 0, match: Match, name: String? = nil, reference: String? = nil, weights: [Int],
        action: RouteAction? = nil, targetActions: [RouteAction?] = [], mirrors: [RouteMirror] = [],
        at location: ConfigLocation
    ) {
        self.mirrors = mirrors
        self.precedence = precedence
        self.match = match
        self.name = name
        self.reference = reference
        self.targets = weights.enumerated().map { index, weight in
            RouteTarget(
                weight: weight, cluster: nil, action: index < targetActions.count ? targetActions[index] : nil)
        }
        self.action = action
        self.location = location
    }
}

/// A copy of a route's requests that another cluster gets, and nobody waits for.
package struct RouteMirror: Sendable, Equatable {
    /// Index into ``VirtualHost/clusters``.
    package internal(set) var cluster = 0
    /// How many requests are copied, in millionths.
    package let share: Int
    /// Whether `Host` stays as it is; else the name in it ends in `-shadow`.
    package let keepsHost: Bool

    /// A copy.
    package init(share: Int = RouteFault.all, keepsHost: Bool = false) {
        self.share = share
        self.keepsHost = keepsHost
    }
}

/// A share of the requests that a route is for.
package struct RouteTarget: Sendable {
    /// Its part of the sum of the weights of all targets.
    package let weight: Int
    /// Index into ``VirtualHost/clusters``; `nil` for one that answers.
    package internal(set) var cluster: Int?
    /// What becomes of its requests in place of what the route does to them, edits of both in one list; `nil` where that is
    /// the same.
    package let action: RouteAction?

    /// Whether its requests are answered at once.
    package var isAnswer: Bool { self.action?.answer != nil }
}
