// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import NIOCore
import Proxy

/// Decides by the routes of a virtual host which cluster a request goes to, and what else becomes of it: `router`.
///
/// The first route that matches decides; without one the newest version of the own application is meant, or the request
/// is answered with 404, as the virtual host has it.
struct RouteStage: Stage {
    static let name = "router"

    func onRequest(_ exchange: inout Exchange) -> Verdict {
        guard let target = exchange.target, let matcher = target.policy.matcher else { return .proceed }
        let worker = exchange.worker
        guard
            let route = matcher.route(
                for: exchange.request, exchange.requestHeaders, mark: exchange.mark, using: &worker.random)
        else {
            guard target.policy.host?.unmatched == .notFound else { return .proceed }
            return .reject(ProxyError(.noRule, "no route"))
        }
        guard let effect = target.policy.effects[route] else {
            if let chosen = target.target(of: route) { exchange.cluster = chosen.cluster }
            return .proceed
        }
        if effect.hinders, let verdict = Self.hinder(&exchange, effect) { return verdict }
        if let cors = effect.cors, let reply = exchange.admitOrigin(cors) { return .reply(reply) }
        guard let chosen = target.target(of: route) else { return Self.act(&exchange, effect) }
        exchange.cluster = chosen.cluster
        return Self.act(&exchange, effect.effect(of: chosen.index))
    }

    /// Answers, or changes the request.
    @inline(__always)
    private static func act(_ exchange: inout Exchange, _ effect: RouteEffect) -> Verdict {
        if let answer = effect.action.answer { return .reply(exchange.reply(answer, effect)) }
        exchange.apply(effect)
        return .proceed
    }

    /// What the route's own limit and faults say to a request, before it has a target; `nil` for nothing.
    ///
    /// The times of the call and of its answer have not begun.
    private static func hinder(_ exchange: inout Exchange, _ effect: RouteEffect) -> Verdict? {
        let worker = exchange.worker
        if !exchange.hasPassedRoute {
            if let limiter = effect.limiter, case .reject(let error) = RateLimiter.verdict(limiter, at: worker.now) {
                return .reject(error)
            }
            exchange.hasPassedRoute = true
            if let fault = effect.action.fault, let delay = fault.delay, Self.hits(fault.delayShare, &worker.random) {
                return .again(worker.eventLoop.scheduleTask(in: TimeAmount(delay)) {}.futureResult)
            }
        }
        guard let fault = effect.action.fault, fault.aborts, Self.hits(fault.abortShare, &worker.random) else {
            return nil
        }
        exchange.effect = effect
        if let status = fault.abortStatus {
            return .reject(ProxyError(.faultInjected, "injecting abort", status: status))
        }
        return .reply(Self.abort(fault.abortGRPCStatus ?? 0))
    }

    /// An abort with a status of gRPC; others get 200 and its text, as from Envoy.
    private static func abort(_ code: Int) -> LocalReply {
        var reply = LocalReply(status: 200, reason: .faultInjected, body: "fault filter abort")
        reply.grpcStatus = code
        return reply
    }

    private static func hits(_ share: Int, _ random: inout FastRandom) -> Bool {
        share >= RouteFault.all || Int.random(in: 0..<RouteFault.all, using: &random) < share
    }

    func onResponse(_ exchange: inout Exchange) {
        if let effect = exchange.effect { exchange.applyToResponse(effect) }
    }
}
