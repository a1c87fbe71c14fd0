// SPDX-License-Identifier: Apache-2.0
// request path

import Common
import Proxy

/// Sends requests to the sidecar of the chosen instance where the registry publishes the application's own port:
/// `port-selector`, right behind `loadbalance`.
struct PortSelectorStage: Stage {
    static let name = "port-selector"

    /// Where sidecars take requests, by protocol.
    private static let port = 30_101
    private static let streamPort = 40_101

    func onRequest(_ exchange: inout Exchange) -> Verdict {
        let port = exchange.isGRPC ? Self.streamPort : Self.port
        guard let endpoint = exchange.endpoint, endpoint.port != port else { return .proceed }
        exchange.endpoint = exchange.worker.endpoint(at: endpoint, port: port)
        return .proceed
    }
}
