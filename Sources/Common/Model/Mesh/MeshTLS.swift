// SPDX-License-Identifier: Apache-2.0

/// How a control plane wants TLS to be spoken to the endpoints of a cluster.
package struct MeshTLS: Sendable, Hashable {
    /// What a client shows, and whom it believes.
    package enum Credentials: Sendable, Hashable {
        /// The identity of this workload, and the authorities of its mesh.
        case identity
        /// PEM files; empty for none. Without authorities every server is believed.
        case files(certificate: String, key: String, authorities: String)
    }

    /// See ``Credentials``.
    package let credentials: Credentials
    /// The name that servers are asked for (SNI, RFC 6066 §3); empty for none.
    package let serverName: String
    /// DNS names and URIs of which a server has to prove one; empty for any that the authorities vouch for.
    package let names: [String]

    /// With all of it.
    package init(_ credentials: Credentials, serverName: String, names: [String]) {
        self.credentials = credentials
        self.serverName = serverName
        self.names = names
    }
}
