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
        let entry = self.policy.circuit.enter(at: exchange.worker.now)
        if let change = self.policy.circuit.takeChange() { exchange.worker.report(change) }
        switch entry {
        case .admitted(let permit):
            exchange.permit = permit
            return .proceed
        case .open(let wait): return .reject(ProxyError(.circuitOpen, retryAfter: wait))
        case .full: return .reject(ProxyError(.bulkheadFull))
        }
    }

    func onFinish(_ exchange: inout Exchange) {
        guard let permit = exchange.permit.take() else { return }
        permit.giveBack(exchange.outcome, at: exchange.worker.now)
        if let change = permit.circuit.takeChange() { exchange.worker.report(change) }
    }
}
