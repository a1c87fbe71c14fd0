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
        guard let target = exchange.target, let routes = target.policy.routes else { return .proceed }
        let mark = exchange.mark?.name
        for index in target.policy.activeRules
        where routes.rules[index].matches(exchange.request, exchange.requestHeaders, mark: mark) {
            if let chosen = target.target(of: index) { exchange.subset = chosen.subset + 1 }
            break
        }
        return .proceed
    }
}
