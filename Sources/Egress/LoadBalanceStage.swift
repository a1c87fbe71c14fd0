// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import Proxy

/// Chooses the instance that an outgoing request goes to: round robin over the service's default endpoints.
struct LoadBalanceStage: Stage {
    static let name = "loadbalance"

    func onRequest(_ exchange: inout Exchange) -> Verdict {
        guard let service = exchange.service else {
            return .reject(ProxyError(.internal, "no stage found the service"))
        }
        let set = service.defaultEndpoints
        let state = exchange.worker.state(of: service)
        guard let index = state.roundRobin.pick(of: set.endpoints.count) else {
            return .reject(
                ProxyError(.noEndpoint, "lb: No available instance, key: \(service.name)(\(set.tags.label))"))
        }
        exchange.endpoint = set.endpoints[index]
        return .proceed
    }
}
