// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import Proxy

/// Decides by the route rules which instances of a service a request may go to: `router`.
///
/// The first rule that matches decides; without one the newest version of the own application is meant.
struct RouteStage: Stage {
    static let name = "router"

    func onRequest(_ exchange: inout Exchange) -> Verdict {
        guard let target = exchange.target, let matcher = target.policy.matcher,
            let rule = matcher.rule(for: exchange.request, exchange.requestHeaders, mark: exchange.mark),
            let chosen = target.target(of: rule)
        else { return .proceed }
        exchange.subset = chosen.subset + 1
        return .proceed
    }
}
