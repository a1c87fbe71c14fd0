// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import Proxy

/// Chooses the instance that an outgoing request goes to: round robin over the service's default endpoints.
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
            return .reject(Self.absence(of: service))
        }
        let endpoint = set.endpoints[index]
        if self.own.contains(endpoint) {
            return .reject(
                ProxyError(.destinationRefused, "destination refused: an instance is the sidecar itself"))
        }
        exchange.endpoint = endpoint
        return .proceed
    }

    /// Why there is no endpoint to choose.
    private static func absence(of service: Service) -> ProxyError {
        let set = service.defaultEndpoints
        if let others = set.otherProtocols {
            return ProxyError(
                .noEndpoint,
                "lb: No available instance for protocol server [rest] , microservice: \(service.name) has \(others)")
        }
        return ProxyError(.noEndpoint, "lb: No available instance, key: \(service.name)(\(set.tags.label))")
    }
}
