// SPDX-License-Identifier: Apache-2.0

/// How many requests a second a route lets through.
///
/// Routes that are equal in this have one limit together: those that one of several matches has become.
package struct RouteLimit: Sendable, Hashable {
    /// Requests a second.
    package let rate: Int
    /// What tells it from the limits of the host's other routes, from one configuration to the next.
    package let key: String

    /// A limit.
    package init(rate: Int, key: String) {
        self.rate = rate
        self.key = key
    }
}

/// What a route does to its requests on purpose: the delay first, then the abort, each by a chance of its own.
package struct RouteFault: Sendable, Equatable {
    /// A chance of all, in millionths.
    package static let all = 1_000_000

    /// How long a request is delayed; `nil` for none.
    package var delay: Duration?
    /// How many are, in millionths.
    package var delayShare = 0
    /// What a request is answered with; `nil` for none.
    package var abortStatus: Int?
    /// The same as a status of gRPC, which other clients get beside 200; `nil` for none.
    package var abortGRPCStatus: Int?
    /// How many are, in millionths.
    package var abortShare = 0
    /// All of them have to hold for a request that it is for.
    package var fields: [FieldMatch] = []
    /// How many requests of the host it is done to at a time, those of its other faults with such a limit among them; `nil`
    /// for no limit.
    package var most: Int?
    /// Whether any may be.
    package var aborts: Bool { self.abortStatus != nil || self.abortGRPCStatus != nil }

    /// None.
    package init() {}
}
