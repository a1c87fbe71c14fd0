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
        if target.policy.host?.profile == .envoy { exchange.requestHeaders.removeOrdersToEnvoy() }
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
        var meant = effect
        if effect.hinders {
            let first = effect.choosesFirst ? Self.choose(&exchange, target, route) : nil
            if let first { meant = effect.effect(of: first.index) }
            if let verdict = Self.hinder(&exchange, effect, meant) { return verdict }
        }
        if let cors = meant.cors, let reply = exchange.admitOrigin(cors) { return .reply(reply) }
        guard let chosen = Self.chosen(exchange.visit, route) ?? target.target(of: route) else {
            return Self.act(&exchange, effect)
        }
        exchange.cluster = chosen.cluster
        return Self.act(&exchange, effect.effect(of: chosen.index))
    }

    /// Answers, or changes the request.
    @inline(__always)
    private static func act(_ exchange: inout Exchange, _ effect: RouteEffect) -> Verdict {
        if let answer = effect.action.answer {
            exchange.effect = effect
            return .reply(exchange.reply(answer, effect))
        }
        exchange.apply(effect)
        return .proceed
    }

    /// The target that a request has before it is disturbed, which it keeps.
    private static func choose(
        _ exchange: inout Exchange, _ target: ServiceState, _ route: Int
    ) -> (index: Int, cluster: Int)? {
        if let chosen = Self.chosen(exchange.visit, route) { return chosen }
        guard let chosen = target.target(of: route) else { return nil }
        exchange.makeVisit().target = (route, chosen.index, chosen.cluster)
        return chosen
    }

    @inline(__always)
    private static func chosen(_ visit: RouteVisit?, _ route: Int) -> (index: Int, cluster: Int)? {
        guard let target = visit?.target, target.route == route else { return nil }
        return (target.index, target.cluster)
    }

    /// What the route's own limit and faults say to a request, before it goes to its target; `nil` for nothing.
    ///
    /// The times of the call and of its answer have not begun.
    ///
    /// - Parameter disturbed: What is done to the requests of the target, where targets differ in that.
    private static func hinder(
        _ exchange: inout Exchange, _ effect: RouteEffect, _ disturbed: RouteEffect
    ) -> Verdict? {
        let worker = exchange.worker
        if effect.action.extras.refusesUpgrades, exchange.request.isWebSocketUpgrade {
            exchange.effect = disturbed
            return .reject(ProxyError(.methodRefused, "no upgrade is allowed here", status: 403))
        }
        var fault = disturbed.action.fault
        if let wanted = fault, !Self.isMeant(wanted, exchange) { fault = nil }
        if !exchange.hasPassedRoute {
            if let limiter = effect.limiter, case .reject(let error) = RateLimiter.verdict(limiter, at: worker.now) {
                return .reject(error)
            }
            exchange.hasPassedRoute = true
            if let fault, let delay = fault.delay, RouteFault.hits(fault.delayShare, using: &worker.random),
                Self.takePlace(&exchange, fault, disturbed)
            {
                exchange.noted.insert(.delayed)
                return .again(worker.eventLoop.scheduleTask(in: TimeAmount(delay)) {}.futureResult)
            }
        }
        guard let fault, fault.aborts, RouteFault.hits(fault.abortShare, using: &worker.random),
            Self.takePlace(&exchange, fault, disturbed)
        else { return nil }
        exchange.effect = disturbed
        exchange.noted.insert(.fault)
        if let status = fault.abortStatus {
            return .reject(ProxyError(.faultInjected, "injecting abort", status: status))
        }
        return .reply(Self.abort(fault.abortGRPCStatus ?? 0))
    }

    /// Whether a request is one of those that a fault is for.
    private static func isMeant(_ fault: RouteFault, _ exchange: borrowing Exchange) -> Bool {
        for field in fault.fields where !field.holds(for: exchange.request, exchange.requestHeaders) { return false }
        return true
    }

    /// Counts a request among those that something is done to, where their number is limited.
    ///
    /// - Returns: Whether it may be done.
    private static func takePlace(_ exchange: inout Exchange, _ fault: RouteFault, _ effect: RouteEffect) -> Bool {
        guard let most = fault.most, let faults = effect.activeFaults, exchange.visit?.fault == nil else { return true }
        guard let place = faults.take(most: most) else { return false }
        exchange.makeVisit().fault = place
        return true
    }

    /// An abort with a status of gRPC; others get 200 and its text, as from Envoy.
    private static func abort(_ code: Int) -> LocalReply {
        var reply = LocalReply(status: 200, reason: .faultInjected, body: "fault filter abort")
        reply.grpcStatus = code
        return reply
    }

    func onResponse(_ exchange: inout Exchange) {
        if let effect = exchange.effect { exchange.applyToResponse(effect) }
    }
}
