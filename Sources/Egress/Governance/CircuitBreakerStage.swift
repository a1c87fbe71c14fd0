// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import Proxy

/// Keeps calls of a service that fails, or that has enough to do, from being made: `bizkeeper-consumer`.
///
/// Before the balancing stage it counts a call with all its retries as one; behind it, each attempt at an instance.
///
/// - Source: `bizkeeper-consumer` of go-chassis.
struct CircuitBreakerStage: Stage {
    static let name = "bizkeeper-consumer"

    func onRequest(_ exchange: inout Exchange) -> Verdict {
        guard let policy = exchange.target?.policy else { return .proceed }
        if policy.resilience.fallback.isForced {
            return Self.fallBack(policy, .forced, exchange.counters)
        }
        let circuit = policy.scope.isPerInstance ? Self.instanceCircuit(exchange, policy) : policy.circuit
        let entry = circuit.enter(at: exchange.worker.now)
        if let change = circuit.takeChange() { Self.report(change, exchange) }
        switch entry {
        case .admitted(let permit):
            exchange.permit = permit
            return .proceed
        case .open(let wait):
            return Self.fallBack(policy, .open, exchange.counters, retryAfter: wait)
        case .full:
            return Self.fallBack(policy, .full, exchange.counters)
        }
    }

    func onFinish(_ exchange: inout Exchange) {
        guard let permit = exchange.permit.take() else { return }
        permit.giveBack(exchange.outcome, at: exchange.worker.now)
        if let change = permit.circuit.takeChange() { Self.report(change, exchange) }
    }

    private static func report(_ change: Circuit.Change, _ exchange: borrowing Exchange) {
        let policy = exchange.target?.policy
        let instance = policy?.scope.isPerInstance == true ? exchange.endpoint : nil
        exchange.worker.report(change, of: policy?.service ?? "", instance)
    }

    private static func instanceCircuit(_ exchange: borrowing Exchange, _ policy: ServicePolicy) -> Circuit {
        guard let balancer = exchange.balancing.balancer else { return policy.circuit }
        let load = balancer.loads[exchange.balancing.index]
        if let circuit = load.circuit, load.circuits === policy.circuits { return circuit }
        let circuit = policy.circuits.circuit(of: load.endpoint)
        load.circuit = circuit
        load.circuits = policy.circuits
        return circuit
    }

    /// Why a call is refused.
    enum Refusal {
        case forced, open, full

        fileprivate var reason: ProxyError.Reason { self == .full ? .bulkheadFull : .circuitOpen }

        fileprivate var text: String {
            switch self {
            case .forced: "isolated because of error: force fallback"
            case .open: "isolated because of error: circuit open"
            case .full: "reject because of error: max concurrency"
            }
        }
    }

    /// What a refused caller gets.
    static func fallBack(
        _ policy: ServicePolicy, _ refusal: Refusal, _ counters: RequestCounters? = nil, retryAfter: Duration? = nil
    ) -> Verdict {
        let fallback = policy.resilience.fallback
        guard fallback.isEnabled || fallback.isForced else {
            return .reject(ProxyError(refusal.reason, retryAfter: retryAfter))
        }
        switch fallback.kind {
        case .returnNull:
            counters?.fallbacks.add()
            return .reply(LocalReply(status: 200))
        case .throwException:
            // Schema and operation are empty in plain HTTP.
            let text = "API \(policy.service):: is \(refusal.text)"
            return .reject(ProxyError(refusal.reason, text, retryAfter: retryAfter))
        }
    }
}
