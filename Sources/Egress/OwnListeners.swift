// SPDX-License-Identifier: Apache-2.0
// request path

package import Common

/// The listeners of this sidecar that no request may be sent to: the outgoing one and the admin API.
///
/// Not the incoming one: a service may call itself by name.
///
/// - Source: promise T4.
package struct OwnListeners: Sendable {
    private let outgoingPort: Int
    private let adminPort: Int
    private let addresses: [ListenAddress]

    /// The listeners of a configuration.
    package init(_ listeners: ListenerConfig) {
        self.addresses = [listeners.outgoing, listeners.admin].compactMap { $0 }
        self.outgoingPort = listeners.outgoing.port
        self.adminPort = listeners.admin?.port ?? listeners.outgoing.port
    }

    /// Whether an endpoint with this port needs a closer look.
    @inline(__always)
    func mayBe(port: Int) -> Bool { port == self.outgoingPort || port == self.adminPort }

    /// Whether an endpoint is one of them.
    func contains(_ endpoint: Endpoint) -> Bool {
        self.addresses.contains { own in
            own.port == endpoint.port
                && (own.host == endpoint.host || (own.isWildcard && endpoint.isLoopback)
                    || (own.isLoopback && endpoint.host == "0.0.0.0"))
        }
    }

    /// How requests may name them.
    var authorities: [[UInt8]] {
        self.addresses.flatMap { own -> [String] in
            let names = own.isLoopback || own.isWildcard ? ["127.0.0.1", "localhost", "[::1]"] : []
            return [own.description] + names.map { "\($0):\(own.port)" }
        }
        .map { Array($0.utf8) }
    }
}
