// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import Proxy

/// Keeps calls of the local application from being made when it fails or has enough to do: `bizkeeper-provider`.
///
/// There is no fallback: callers get 503.
struct ProviderBreakerStage: Stage {
    static let name = "bizkeeper-provider"

    let policy: ProviderPolicy

    func onRequest(_ exchange: inout Exchange) -> Verdict {
        switch self.policy.circuit.enter(at: exchange.worker.now) {
        case .admitted(let permit):
            exchange.permit = permit
            return .proceed
        case .open(let wait): return .reject(ProxyError(.circuitOpen, retryAfter: wait))
        case .full: return .reject(ProxyError(.bulkheadFull))
        }
    }

    func onFinish(_ exchange: inout Exchange) {
        exchange.permit.take()?.giveBack(exchange.outcome, at: exchange.worker.now)
    }
}
