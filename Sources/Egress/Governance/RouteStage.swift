// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import Proxy

/// Decides by the routes of a virtual host which cluster a request goes to, and what else becomes of it: `router`.
///
/// The first route that matches decides; without one the newest version of the own application is meant, or the request
/// is answered with 404, as the virtual host has it.
struct RouteStage: Stage {
    static let name = "router"

    func onRequest(_ exchange: inout Exchange) -> Verdict {
        guard let target = exchange.target, let matcher = target.policy.matcher else { return .proceed }
        guard
            let route = matcher.route(for: exchange.request, exchange.requestHeaders, mark: exchange.mark)
        else {
            guard target.policy.host?.unmatched == .notFound else { return .proceed }
            return .reject(ProxyError(.noRule, "no route"))
        }
        let chosen = target.target(of: route)
        if let chosen, let cluster = target.policy.host?.routes[route].targets[chosen].cluster {
            exchange.cluster = cluster + 1
        }
        guard var effect = target.policy.effects[route] else { return .proceed }
        if let chosen { effect = effect.effect(of: chosen) }
        if let answer = effect.action.answer { return .reply(exchange.reply(answer, effect)) }
        exchange.apply(effect)
        return .proceed
    }

    func onResponse(_ exchange: inout Exchange) {
        if let effect = exchange.effect { exchange.applyToResponse(effect) }
    }
}
