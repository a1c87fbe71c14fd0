// SPDX-License-Identifier: Apache-2.0
// request path

import Common

/// A copy of a route's requests that another cluster gets, with everything made beforehand.
package struct MirrorEffect: Sendable {
    /// As ``ServiceState/cluster(_:isGRPC:_:)`` knows it.
    let cluster: Int
    /// How many requests are copied, in millionths.
    let share: Int
    /// Whether `Host` stays as it is.
    let keepsHost: Bool
    /// What holds for the copies: a limit of time, and no second try.
    let effect: RouteEffect

    /// How long a copy may take where its route says nothing.
    private static let usualLimit = Duration.seconds(15)

    /// - Parameter limit: What the route gives a call.
    init(_ mirror: RouteMirror, limit: Duration?) {
        self.cluster = mirror.cluster + 1
        self.share = mirror.share
        self.keepsHost = mirror.keepsHost
        var limits = RouteLimits()
        limits.head = .zero
        limits.call = limit.flatMap { $0 > .zero ? $0 : nil } ?? Self.usualLimit
        self.effect = RouteEffect(RouteAction(limits: limits, retry: RouteRetry(RetryPolicy())))
    }
}
