// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import Proxy

/// Sends requests to the sidecar of the chosen instance where the registry publishes the application's own port:
/// `port-selector`, right behind `loadbalance`.
struct PortSelectorStage: Stage {
    static let name = "port-selector"

    /// Where sidecars take requests of this protocol.
    private static let port = 30_101

    func onRequest(_ exchange: inout Exchange) -> Verdict {
        guard let endpoint = exchange.endpoint, endpoint.port != Self.port else { return .proceed }
        exchange.endpoint = exchange.worker.endpoint(at: endpoint, port: Self.port)
        return .proceed
    }
}
