// SPDX-License-Identifier: Apache-2.0

package import Common

/// Where the local application listens, by protocol.
package struct ApplicationEndpoints: Sendable {
    /// What is configured.
    let ports: ServicePorts
    /// Of HTTP; `nil` where it takes none.
    package let rest: Endpoint?
    /// Of gRPC; `nil` where it takes none.
    package let grpc: Endpoint?
    /// All but the first of HTTP.
    package let others: [Endpoint]

    /// Those of configured ports.
    package init(_ ports: ServicePorts) {
        self.ports = ports
        self.rest = ports["rest"].map { Endpoint(loopbackPort: $0, protocolName: "rest") }
        self.grpc = ports["grpc"].map { Endpoint(loopbackPort: $0, protocolName: "grpc") }
        self.others = ports.ports.filter { $0.name != "rest" }
            .map { Endpoint(loopbackPort: $0.port, protocolName: $0.name) }
    }
}
