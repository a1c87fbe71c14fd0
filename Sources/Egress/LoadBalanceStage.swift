// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import Proxy

/// Chooses the instance that an outgoing request goes to: round robin over the service's default endpoints.
///
/// An instance that is in truth a listener of this sidecar is never connected to, whoever registered it: the outgoing
/// one would send requests in a circle, the admin API is not for services.
struct LoadBalanceStage: Stage {
    static let name = "loadbalance"

    let own: OwnListeners

    func onRequest(_ exchange: inout Exchange) -> Verdict {
        guard let service = exchange.service else {
            return .reject(ProxyError(.internal, "no stage found the service"))
        }
        let set = service.defaultEndpoints
        let state = exchange.worker.state(of: service)
        guard let index = state.roundRobin.pick(of: set.endpoints.count) else {
            return .reject(ProxyError(.noEndpoint, set.emptyText))
        }
        let endpoint = set.endpoints[index]
        if self.own.mayBe(port: endpoint.port), self.own.contains(endpoint) {
            return .reject(
                ProxyError(.destinationRefused, "an instance of \(service.name) is a listener of this sidecar's own"))
        }
        exchange.endpoint = endpoint
        return .proceed
    }
}
